"""From decisions and figures of the library to messages."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time

from aegis_ros.msg import (
    AdmissionStatus,
    GeneratorStatus,
    LaneStatus,
    OrchestratorStatus,
    TaskStatus,
    Tensor,
)
from aegis_ros.msg import Counterfactual as CounterfactualMsg
from aegis_ros.msg import Rationale as RationaleMsg
from aegis_ros.msg import RejectedTask as RejectedTaskMsg
from aegis_ros.msg import ResponseBound as ResponseBoundMsg
from aegis_ros.msg import Witness as WitnessMsg
from aegis_ros.nodes.spec_messages import SpecMessages
from aegis_ros.orchestrator import (
    GeneratorSummary,
    LaneSummary,
    OrchestratorState,
    Registration,
    TaskSummary,
)
from aegis_ros.rationale import Rationale, Witness
from aegis_ros.rationale.plain import kind_of, to_plain
from aegis_ros.rationale.wording import words

__all__ = [
    "fill_registration",
    "rationale_to_message",
    "status_to_message",
    "task_status",
    "tensor_to_message",
    "time_from_ns",
]

_SPECS = SpecMessages()


def time_from_ns(value_ns: int) -> Time:
    """Return nanoseconds since 1970 as a message; times before it as 0."""
    sec, nanosec = divmod(max(value_ns, 0), 1_000_000_000)
    return Time(sec=min(sec, 2**31 - 1), nanosec=nanosec)


def rationale_to_message(rationale: Rationale) -> RationaleMsg:
    """Return a decision as a message."""
    return RationaleMsg(
        stamp=time_from_ns(rationale.time_ns),
        id=rationale.id,
        related=rationale.related,
        task=rationale.task,
        job=rationale.job,
        decision=str(rationale.decision),
        rule=str(rationale.rule),
        sentence=rationale.sentence,
        kind="" if rationale.reason is None else kind_of(type(rationale.reason)),
        data_json="" if rationale.reason is None else json.dumps(to_plain(rationale.reason)),
        left=float(rationale.left),
        relation=rationale.relation,
        right=float(rationale.right),
        unit=rationale.unit,
        lane=rationale.lane,
        utilization_before=float(rationale.utilization_before),
        utilization_after=float(rationale.utilization_after),
        witness=_witness(rationale.witness),
        responses=[
            ResponseBoundMsg(
                task=item.task,
                lane=item.lane,
                bound_ms=item.bound_ns / 1e6,
                deadline_ms=item.deadline_ns / 1e6,
            )
            for item in rationale.responses
        ],
        counterfactuals=[
            CounterfactualMsg(
                task=item.task, change=item.change, value=float(item.value), sentence=item.sentence
            )
            for item in rationale.counterfactuals
        ],
        count=rationale.count,
    )


def fill_registration(response: Any, answer: Registration) -> Any:
    """Fill the response of RegisterModel or EvaluateModel."""
    response.admitted = answer.accepted
    response.result = int(answer.result)
    response.rationale = rationale_to_message(answer.rationale)
    response.utilization_before = float(answer.utilization_before)
    response.utilization_after = float(answer.utilization_after)
    response.bound = float(answer.bound)
    response.response_bound_ms = answer.response_bound_ns / 1e6
    response.deadline_ms = answer.deadline_ns / 1e6
    return response


def status_to_message(state: OrchestratorState, lifecycle: str, now_ns: int) -> OrchestratorStatus:
    """Return everything at one moment as a message."""
    return OrchestratorStatus(
        stamp=time_from_ns(now_ns),
        state=lifecycle,
        backend=state.engine.backend if state.engine else "",
        device=state.engine.device if state.engine else "",
        engine_pid=state.engine_status.pid,
        engine_restarts=state.engine_status.restarts,
        engine_restart_ms=state.engine_status.restart_ns / 1e6,
        engine_determinism=state.engine.determinism if state.engine else "",
        arena_bytes=state.arena_bytes,
        arena_used_bytes=state.arena_used_bytes,
        lanes=[_lane(item) for item in state.lanes],
        tasks=[task_status(item) for item in state.tasks],
        generators=[_generator(item) for item in state.generators],
        rejected=[
            RejectedTaskMsg(
                name=item.name,
                origin=item.origin,
                rule=str(item.rationale.rule),
                sentence=item.rationale.sentence,
                stamp=time_from_ns(item.rationale.time_ns),
            )
            for item in state.rejected
        ],
        admissions=[
            AdmissionStatus(
                task=item.task,
                request=str(item.request),
                stage=str(item.stage),
                done=item.done,
                total=item.total,
                age_s=item.age_s,
            )
            for item in state.admissions
        ],
        admissions_ended=state.admissions_ended,
    )


def task_status(item: TaskSummary) -> TaskStatus:
    """Return one task with its figures as a message."""
    return TaskStatus(
        id=item.task_id,
        spec=_SPECS.of(item.spec),
        state=str(item.state),
        model_sha256=item.model_sha256,
        wcet_ms=item.wcet_ns / 1e6,
        wcet_source=item.wcet_source,
        lane=item.lane,
        response_bound_ms=item.response_bound_ns / 1e6,
        utilization=float(item.utilization),
        arena_bytes=item.arena_bytes,
        received=item.received,
        completed=item.completed,
        missed=item.missed,
        skipped=item.skipped,
        lost=item.lost,
        decimation=item.decimation,
        decimated=item.decimated,
        every_nth=item.decimation,
        thinned=item.decimated,
        overruns=item.overruns,
        early_exits=item.early_exits,
        invalid=item.invalid,
        not_finite=item.not_finite,
        truncated=item.truncated,
        rate_hz=float(item.rate_hz),
        response_p50_ms=item.response_p50_ns / 1e6,
        response_p99_ms=item.response_p99_ns / 1e6,
        response_max_ms=item.response_max_ns / 1e6,
        execution_p50_ms=item.execution_p50_ns / 1e6,
        execution_max_ms=item.execution_max_ns / 1e6,
        result_age_s=item.result_age_s,
        origin=item.origin,
        problem=item.problem,
    )


def tensor_to_message(name: str, values: np.ndarray) -> Tensor:
    """Return a tensor as a message; its data is copied once."""
    message = Tensor(name=name, dtype=str(values.dtype), shape=list(values.shape))
    # bytes are taken over as they are; an ndarray would be converted value by value
    message.data = np.ascontiguousarray(values).tobytes()
    return message


def _witness(witness: Witness | None) -> WitnessMsg:
    if witness is None:
        return WitnessMsg()
    return WitnessMsg(
        lane=witness.lane,
        t_ms=witness.t_ns / 1e6,
        demand_ms=witness.demand_ns / 1e6,
        blocking_ms=witness.blocking_ns / 1e6,
        blocking_task=witness.blocking_task,
        slack_ms=witness.slack_ns / 1e6,
    )


def _generator(item: GeneratorSummary) -> GeneratorStatus:
    spec, adapted = item.spec, item.adapted
    message = GeneratorStatus(
        name=spec.name,
        model=spec.model,
        state=str(item.state),
        problem="" if item.problem is None else words(item.problem),
        lane=item.lane,
        steps=list(item.steps),
        given_up=list(item.given_up),
        slots=item.slots,
        max_len=item.max_len,
        running=item.running,
        waiting=item.waiting,
        stalled_s=item.stalled_ns / 1e9,
        expected_tokens_per_s=float(item.expected_tokens_per_s),
        promised_tokens_per_s=float(spec.tokens_per_s),
        precision=spec.precision,
        cache_bytes=item.cache_bytes,
        cache_used_bytes=item.cache_used_bytes,
        device_use=-1.0,
    )
    if adapted is not None:
        limits = adapted.limits
        message.tokens = adapted.tokens
        message.tokens_per_s = float(adapted.tokens_per_s)
        message.step_ms = adapted.latency_ns / 1e6
        message.context = adapted.context
        message.chunk_limit, message.batch_limit = limits.chunk, limits.batch
        message.length_limit = limits.length
        message.precision = limits.precision or spec.precision
        message.arena_used_bytes = adapted.arena_used_bytes
        message.arena_peak_bytes = adapted.arena_peak_bytes
        message.device_use = float(adapted.device_use)
        message.limit_changes, message.out_of_memory = adapted.changes, adapted.out_of_memory
        message.decision = adapted.decision
    return message


def _lane(item: LaneSummary) -> LaneStatus:
    return LaneStatus(
        name=item.name,
        cpu=-1 if item.cpu is None else item.cpu,
        utilization_admitted=float(item.utilization_admitted),
        utilization_measured=float(item.utilization_measured),
        slack_ms=item.slack_ns / 1e6,
        running=item.running,
        waiting=item.waiting,
    )
