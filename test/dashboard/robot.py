"""A robot that is not there: statuses, jobs and decisions for the page, and answers."""

from __future__ import annotations

from dataclasses import replace

from aegis_ros.dashboard import (
    AnswerView,
    BoundView,
    CounterfactualView,
    DecisionView,
    Feed,
    GeneratorView,
    JobView,
    LaneView,
    StatusView,
    TaskView,
    WhatIf,
    WindowView,
    WitnessView,
    analysis_task,
    critical_window,
)
from aegis_ros.errors import StateError

__all__ = ["FakeRobot", "a_decision", "a_generator", "a_job", "a_status", "a_task", "fill"]

_NAMES = ("face_detector", "obstacles", "text_detector", "text_reader")


def a_task(name: str = "face_detector", **changes: object) -> TaskView:
    task = TaskView(
        name=name,
        model="package://robot/models/detector.onnx",
        topic="/camera/image_raw",
        lane="main",
        criticality="high",
        state="running",
        period_ms=100.0,
        deadline_ms=100.0,
        jitter_ms=5.0,
        publish_ms=2.0,
        segments=0,
        wcet_ms=18.0,
        wcet_source="measured",
        bound_ms=61.5,
        utilization=0.18,
        arena_bytes=48 * 2**20,
        received=1203,
        completed=1200,
        missed=0,
        skipped=3,
        lost=0,
        rate_hz=10.0,
        response_p50_ms=31.0,
        response_p99_ms=48.0,
        response_max_ms=55.0,
        execution_p50_ms=14.0,
        execution_max_ms=17.0,
        result_age_s=0.05,
    )
    return replace(task, **changes)  # type: ignore[arg-type]


def a_generator(**changes: object) -> GeneratorView:
    generator = GeneratorView(
        name="assistant",
        model="package://robot/models/assistant.gguf",
        state="running",
        problem="",
        lane="main",
        steps=("prefill 16", "decode 1", "decode 4"),
        given_up=("prefill 32",),
        slots=4,
        max_len=2_048,
        running=2,
        waiting=3,
        stalled_s=0.02,
        tokens=4_321,
        tokens_per_s=51.5,
        expected_tokens_per_s=60.0,
        promised_tokens_per_s=0.0,
        step_ms=19.25,
        context=640,
        chunk_limit=32,
        batch_limit=4,
        length_limit=1_024,
        precision="int8",
        cache_bytes=360 * 2**20,
        cache_used_bytes=180 * 2**20,
        arena_used_bytes=300 * 2**20,
        arena_peak_bytes=410 * 2**20,
        device_use=0.83,
        limit_changes=2,
        out_of_memory=1,
        decision="assistant gives up to 4 answers at once instead of 2: there is <b>room</b>.",
    )
    return replace(generator, **changes)  # type: ignore[arg-type]


def a_status(tasks: tuple[TaskView, ...] = (), **changes: object) -> StatusView:
    status = StatusView(
        stamp_ms=1_700_000_000_000.0,
        state="active",
        backend="onnxruntime",
        device="Test CPU (2 cores)",
        engine_pid=4711,
        engine_restarts=1,
        engine_restart_ms=412.0,
        engine_determinism="pinned to core 1, memory locked; no real-time priority (not permitted)",
        arena_bytes=512 * 2**20,
        arena_used_bytes=sum(task.arena_bytes for task in tasks),
        lanes=(
            LaneView("main", 1, 0.62, 0.48, 7.3, "face_detector", 1),
            LaneView("side", -1, 0.2, 0.14, 31.0, "", 0),
        ),
        tasks=tasks,
    )
    return replace(status, **changes)  # type: ignore[arg-type]


def a_job(
    task: str, number: int, at_ms: float, late_ms: float = 0.0, ran_ms: float = 14
) -> JobView:
    """A job that was published at ``at_ms``."""
    published = at_ms
    finished = published - 2.0 - late_ms
    started = finished - ran_ms
    stamped = started - 12.0
    deadline = published - late_ms if late_ms else stamped + 100.0
    return JobView(
        task,
        number,
        stamped,
        stamped + 3.0,
        stamped + 4.0,
        started,
        finished,
        published,
        deadline,
        late_ms == 0.0,
        ran_ms,
        published - stamped,
    )


def a_decision(number: int = 1, **changes: object) -> DecisionView:
    decision = DecisionView(
        stamp_ms=1_700_000_000_000.0,
        id=number,
        related=0,
        task="face_detector_2",
        job=-1,
        decision="rejected",
        rule="demand_bound",
        sentence="In 100.0 ms lane main would have to run 112.0 ms of work.",
        left=112.0,
        relation=">",
        right=100.0,
        unit="ms",
        lane="main",
        utilization_before=0.62,
        utilization_after=0.98,
        witness=WitnessView("main", 100.0, 94.0, 18.0, "text_detector", -12.0),
        responses=(
            BoundView("face_detector", "main", 61.5, 93.0),
            BoundView("face_detector_2", "main", 118.0, 93.0),
        ),
        counterfactuals=(
            CounterfactualView(
                "face_detector_2", "period_ms", 140.0, "a period of 140 ms or more passes"
            ),
            CounterfactualView("text_detector", "drop", 1.0, "without text_detector it passes"),
        ),
        count=1,
    )
    return replace(decision, **changes)  # type: ignore[arg-type]


def fill(feed: Feed, now_ms: float, rate_hz: int = 100, seconds: float = 6.0) -> None:
    """Put in what a busy robot would have reported in the last seconds."""
    lanes = ("main", "main", "main", "side")
    feed.put_status(
        a_status(
            tuple(
                a_task(
                    name,
                    lane=lane,
                    arena_bytes=(20 + 30 * index) * 2**20,
                    missed=2 if index == 2 else 0,
                    criticality=("high", "high", "low", "best_effort")[index],
                    decimation=2 if index == 2 else 1,
                    decimated=1204 if index == 2 else 0,
                    early_exits=7 if index == 1 else 0,
                )
                for index, (name, lane) in enumerate(zip(_NAMES, lanes, strict=True))
            )
        )
    )
    step_ms = 1000.0 / rate_hz
    for number in range(int(seconds * rate_hz)):
        name = _NAMES[number % len(_NAMES)]
        late = 15.0 if name == "text_detector" and number % 70 == 2 else 0.0
        at_ms = now_ms - seconds * 1000.0 + number * step_ms
        feed.put_job(a_job(name, number, at_ms, late, min(14.0, step_ms * 0.9 + number % 3)))
    feed.put_decision(
        a_decision(
            1,
            stamp_ms=now_ms - 60_000.0,
            task="face_detector",
            decision="admitted",
            relation="<=",
            left=82.7,
            sentence="face_detector runs on lane main: in any 100.0 ms it leaves 7.3 ms free.",
            counterfactuals=(),
        )
    )
    feed.put_decision(
        a_decision(
            2,
            stamp_ms=now_ms - 2_000.0,
            task="text_detector",
            job=17,
            decision="skipped",
            rule="newer_frame",
            relation="",
            sentence="A newer frame came while this one waited.",
            witness=None,
            responses=(),
            counterfactuals=(),
            count=3,
        )
    )
    feed.put_decision(a_decision(3, stamp_ms=now_ms - 1_000.0))


def _window(decision: DecisionView) -> WindowView | None:
    asked = analysis_task(decision.task, wcet_ms=58.0, period_ms=100.0, deadline_ms=100.0)
    assert asked is not None
    assert decision.witness is not None
    others = tuple(a_task(name, wcet_ms=18.0) for name in _NAMES[:3])
    return critical_window(others, asked, decision.witness)


class FakeRobot:
    """Rejects periods below 140 ms; keeps what it was asked."""

    def __init__(self) -> None:
        self.questions: list[WhatIf] = []
        self.wishes: list[tuple[str, bool]] = []
        self.silent = False

    def evaluate(self, question: WhatIf) -> AnswerView:
        if self.silent:
            raise StateError("the orchestrator does not answer", hint="Is it running?")
        self.questions.append(question)
        admitted = question.period_ms >= 140.0 or "text_detector" in question.without
        decision = a_decision(0, task=question.name)
        if admitted:
            decision = replace(
                decision,
                decision="admitted",
                sentence=f"{question.name} runs on lane main.",
                relation="<=",
                left=92.0,
                witness=WitnessView("main", 100.0, 74.0, 18.0, "text_detector", 8.0),
                responses=(
                    BoundView("face_detector", "main", 61.5, 93.0),
                    BoundView(question.name, "main", 88.0, 133.0),
                ),
                counterfactuals=(),
            )
        after = 0.75 if admitted else 0.98
        return AnswerView(admitted, 0.62, after, 88.0, 133.0, decision, _window(decision))

    def set_enabled(self, task: str, enabled: bool) -> tuple[bool, str]:
        self.wishes.append((task, enabled))
        return True, f"{task} {'runs' if enabled else 'is stopped'}"
