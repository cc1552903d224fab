"""Messages of an orchestrator as what the page shows, and a question on the page as a task."""

from __future__ import annotations

from typing import Any

from aegis_ros.dashboard import (
    BoundView,
    CounterfactualView,
    DecisionView,
    GeneratorView,
    JobView,
    LaneView,
    RejectedView,
    StatusView,
    TaskView,
    WhatIf,
    WitnessView,
)
from aegis_ros.errors import ConfigError
from aegis_ros.msg import ModelTask, OrchestratorStatus
from aegis_ros.views.progress import progress_line

__all__ = ["decision_view", "job_view", "question_to_task", "status_view"]


def status_view(message: Any) -> StatusView:
    """Return an OrchestratorStatus as the page shows it."""
    return StatusView(
        stamp_ms=_ms(message.stamp),
        state=message.state,
        backend=message.backend,
        device=message.device,
        engine_pid=message.engine_pid,
        engine_restarts=message.engine_restarts,
        engine_restart_ms=message.engine_restart_ms,
        engine_determinism=message.engine_determinism,
        arena_bytes=message.arena_bytes,
        arena_used_bytes=message.arena_used_bytes,
        lanes=tuple(
            LaneView(
                each.name,
                each.cpu,
                each.utilization_admitted,
                each.utilization_measured,
                each.slack_ms,
                each.running,
                each.waiting,
            )
            for each in message.lanes
        ),
        tasks=tuple(_task_view(each) for each in message.tasks),
        generators=tuple(_generator_view(each) for each in message.generators),
        progress=progress_line(message.admissions, message.admissions_ended),
        rejected=tuple(
            RejectedView(each.name, each.origin, each.sentence) for each in message.rejected
        ),
    )


def job_view(message: Any) -> JobView:
    """Return the life of the job of an InferenceResult."""
    timing = message.timing
    return JobView(
        task=message.task,
        job=message.job,
        stamped_ms=_ms(timing.stamped),
        received_ms=_ms(timing.received),
        released_ms=_ms(timing.released),
        started_ms=_ms(timing.started),
        finished_ms=_ms(timing.finished),
        published_ms=_ms(timing.published),
        deadline_ms=_ms(timing.deadline),
        met=timing.met,
        execution_ms=timing.execution_ms,
        early_exit=message.early_exit,
        response_ms=timing.response_ms,
    )


def decision_view(message: Any) -> DecisionView:
    """Return a Rationale as the page shows it."""
    found = message.witness
    return DecisionView(
        stamp_ms=_ms(message.stamp),
        id=message.id,
        related=message.related,
        task=message.task,
        job=message.job,
        decision=message.decision,
        rule=message.rule,
        sentence=message.sentence,
        left=message.left,
        relation=message.relation,
        right=message.right,
        unit=message.unit,
        lane=message.lane,
        utilization_before=message.utilization_before,
        utilization_after=message.utilization_after,
        witness=WitnessView(
            found.lane,
            found.t_ms,
            found.demand_ms,
            found.blocking_ms,
            found.blocking_task,
            found.slack_ms,
        )
        if found.lane
        else None,
        responses=tuple(
            BoundView(each.task, each.lane, each.bound_ms, each.deadline_ms)
            for each in message.responses
        ),
        counterfactuals=tuple(
            CounterfactualView(each.task, each.change, each.value, each.sentence)
            for each in message.counterfactuals
        ),
        count=message.count,
    )


def question_to_task(question: WhatIf, status: OrchestratorStatus | None) -> ModelTask:
    """Return the task a question is about.

    Raises:
        ConfigError: it is to be like a task that is not admitted.
    """
    task = ModelTask()
    if question.like:
        admitted = {each.spec.name: each.spec for each in status.tasks} if status else {}
        if question.like not in admitted:
            raise ConfigError(
                "there is no such task",
                where="like",
                value=question.like,
                expected=", ".join(sorted(admitted)) or "an admitted task (there is none)",
            )
        task = _copied(admitted[question.like])
    task.name = question.name
    for name in ("model", "period_ms", "deadline_ms", "jitter_ms", "wcet_ms", "criticality"):
        given = getattr(question, name)
        if given:
            setattr(task, name, given)
    if question.model:
        task.sha256 = ""
    if question.topic:
        task.input.topic = question.topic
    # an empty lane is an answer here: let the admission choose
    task.lane = question.lane
    if not task.output.topic:
        task.output.topic = f"what_if/{question.name}"
    return task


def _task_view(message: Any) -> TaskView:
    spec = message.spec
    return TaskView(
        name=spec.name,
        model=spec.model,
        topic=spec.input.topic,
        lane=message.lane,
        criticality=spec.criticality,
        state=message.state,
        period_ms=spec.period_ms,
        deadline_ms=spec.deadline_ms or spec.period_ms,
        jitter_ms=spec.jitter_ms,
        publish_ms=spec.output.publish_ms,
        segments=spec.segments,
        wcet_ms=message.wcet_ms,
        wcet_source=message.wcet_source,
        bound_ms=message.response_bound_ms,
        utilization=message.utilization,
        arena_bytes=message.arena_bytes,
        received=message.received,
        completed=message.completed,
        missed=message.missed,
        skipped=message.skipped,
        lost=message.lost,
        rate_hz=message.rate_hz,
        response_p50_ms=message.response_p50_ms,
        response_p99_ms=message.response_p99_ms,
        response_max_ms=message.response_max_ms,
        execution_p50_ms=message.execution_p50_ms,
        execution_max_ms=message.execution_max_ms,
        result_age_s=message.result_age_s,
        decimation=max(1, message.decimation),
        decimated=message.decimated,
        early_exits=message.early_exits,
        invalid=message.invalid,
        not_finite=message.not_finite,
        truncated=message.truncated,
    )


def _generator_view(message: Any) -> GeneratorView:
    return GeneratorView(
        name=message.name,
        model=message.model,
        state=message.state,
        problem=message.problem,
        lane=message.lane,
        steps=tuple(message.steps),
        given_up=tuple(message.given_up),
        slots=message.slots,
        max_len=message.max_len,
        running=message.running,
        waiting=message.waiting,
        stalled_s=message.stalled_s,
        tokens=message.tokens,
        tokens_per_s=message.tokens_per_s,
        expected_tokens_per_s=message.expected_tokens_per_s,
        promised_tokens_per_s=message.promised_tokens_per_s,
        step_ms=message.step_ms,
        context=message.context,
        chunk_limit=message.chunk_limit,
        batch_limit=message.batch_limit,
        length_limit=message.length_limit,
        precision=message.precision,
        cache_bytes=message.cache_bytes,
        cache_used_bytes=message.cache_used_bytes,
        arena_used_bytes=message.arena_used_bytes,
        arena_peak_bytes=message.arena_peak_bytes,
        device_use=message.device_use,
        limit_changes=message.limit_changes,
        out_of_memory=message.out_of_memory,
        decision=message.decision,
    )


def _copied(message: Any) -> Any:
    copy = type(message)()
    for name in message.get_fields_and_field_types():
        value = getattr(message, name)
        nested = hasattr(value, "get_fields_and_field_types")
        setattr(copy, name, _copied(value) if nested else value)
    return copy


def _ms(time: Any) -> float:
    return float(time.sec * 1e3 + time.nanosec / 1e6)
