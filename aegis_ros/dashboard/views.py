"""What the page and the metrics show of a running orchestrator, as plain data.

Moments are milliseconds since 1970 on the orchestrator's wall clock, durations milliseconds,
shares 0..1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

__all__ = [
    "AnswerView",
    "BarView",
    "BoundView",
    "CounterfactualView",
    "DecisionView",
    "DueView",
    "GeneratorView",
    "JobView",
    "LaneView",
    "RejectedView",
    "StatusView",
    "TaskView",
    "WindowView",
    "WitnessView",
    "plain",
]


@dataclass(frozen=True, slots=True)
class TaskView:
    """One admitted task; counts since activation, figures over the last window.

    ``publish_ms`` is kept free before the deadline; ``segments`` is 0 where it was not declared.
    Of ``decimation`` frames one becomes a job; ``decimated`` were left out for that.
    """

    name: str
    model: str
    topic: str
    lane: str
    criticality: str
    state: str
    period_ms: float
    deadline_ms: float
    jitter_ms: float
    publish_ms: float
    segments: int
    wcet_ms: float
    wcet_source: str
    bound_ms: float
    utilization: float
    arena_bytes: int
    received: int
    completed: int
    missed: int
    skipped: int
    lost: int
    rate_hz: float
    response_p50_ms: float
    response_p99_ms: float
    response_max_ms: float
    execution_p50_ms: float
    execution_max_ms: float
    result_age_s: float
    decimation: int = 1
    decimated: int = 0
    early_exits: int = 0
    invalid: int = 0
    not_finite: int = 0
    truncated: int = 0


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane; ``cpu`` is -1 where its worker is not pinned."""

    name: str
    cpu: int
    utilization_admitted: float
    utilization_measured: float
    slack_ms: float
    running: str
    waiting: int


@dataclass(frozen=True, slots=True)
class RejectedView:
    """A task that should run and was not admitted."""

    name: str
    origin: str
    sentence: str


@dataclass(frozen=True, slots=True)
class GeneratorView:
    """One language model that runs in the slack, and what it uses of what was admitted.

    ``problem`` says why it takes no requests, empty where it does. ``tokens_per_s`` is over the
    last five seconds, ``expected_tokens_per_s`` what there is time for, ``step_ms`` and ``context``
    of the last step; ``device_use`` is -1 where it is not known, and ``decision`` the last change
    of a limit. ``stalled_s`` counts while requests are in hand and no step ends.
    """

    name: str
    model: str
    state: str
    problem: str
    lane: str
    steps: tuple[str, ...]
    given_up: tuple[str, ...]
    slots: int
    max_len: int
    running: int
    waiting: int
    stalled_s: float
    tokens: int
    tokens_per_s: float
    expected_tokens_per_s: float
    promised_tokens_per_s: float
    step_ms: float
    context: int
    chunk_limit: int
    batch_limit: int
    length_limit: int
    precision: str
    cache_bytes: int
    cache_used_bytes: int
    arena_used_bytes: int
    arena_peak_bytes: int
    device_use: float
    limit_changes: int
    out_of_memory: int
    decision: str = ""


@dataclass(frozen=True, slots=True)
class StatusView:
    """The orchestrator at one moment; ``engine_pid`` is 0 where no engine runs.

    ``progress`` says how far the request is that has its turn; empty where there is none.
    """

    stamp_ms: float
    state: str
    backend: str
    device: str
    engine_pid: int
    engine_restarts: int
    engine_restart_ms: float
    engine_determinism: str
    arena_bytes: int
    arena_used_bytes: int
    lanes: tuple[LaneView, ...]
    tasks: tuple[TaskView, ...]
    progress: str = ""
    rejected: tuple[RejectedView, ...] = ()
    generators: tuple[GeneratorView, ...] = ()


@dataclass(frozen=True, slots=True)
class JobView:
    """The life of one job whose result came."""

    task: str
    job: int
    stamped_ms: float
    received_ms: float
    released_ms: float
    started_ms: float
    finished_ms: float
    published_ms: float
    deadline_ms: float
    met: bool
    execution_ms: float
    response_ms: float
    early_exit: bool = False


@dataclass(frozen=True, slots=True)
class WitnessView:
    """The tightest point of the demand test."""

    lane: str
    t_ms: float
    demand_ms: float
    blocking_ms: float
    blocking_task: str
    slack_ms: float


@dataclass(frozen=True, slots=True)
class BoundView:
    """The response-time bound of one task, and the deadline it is held against."""

    task: str
    lane: str
    bound_ms: float
    deadline_ms: float


@dataclass(frozen=True, slots=True)
class CounterfactualView:
    """A change that would turn the answer around; ``value`` in the unit ``change`` names."""

    task: str
    change: str
    value: float
    sentence: str


@dataclass(frozen=True, slots=True)
class DecisionView:
    """A decision, the inequality behind it, and what would have changed it."""

    stamp_ms: float
    id: int
    related: int
    task: str
    job: int
    decision: str
    rule: str
    sentence: str
    left: float
    relation: str
    right: float
    unit: str
    lane: str
    utilization_before: float
    utilization_after: float
    witness: WitnessView | None
    responses: tuple[BoundView, ...]
    counterfactuals: tuple[CounterfactualView, ...]
    count: int


@dataclass(frozen=True, slots=True)
class BarView:
    """A segment that runs in a window; ``blocks`` where it began before the others were ready."""

    task: str
    start_ms: float
    end_ms: float
    late: bool
    blocks: bool


@dataclass(frozen=True, slots=True)
class DueView:
    """A deadline in a window, and whether its job is late in it."""

    task: str
    due_ms: float
    late: bool


@dataclass(frozen=True, slots=True)
class WindowView:
    """A schedule of one lane; milliseconds from when everybody is ready.

    Attributes:
        tasks: rows, from the top.
        begin_ms, end_ms: what there is to show.
        bars: what runs, in order.
        dues: deadlines.
    """

    tasks: tuple[str, ...]
    begin_ms: float
    end_ms: float
    bars: tuple[BarView, ...]
    dues: tuple[DueView, ...]


@dataclass(frozen=True, slots=True)
class AnswerView:
    """The answer to a what-if question; ``window`` is the pattern behind its witness."""

    admitted: bool
    utilization_before: float
    utilization_after: float
    response_bound_ms: float
    deadline_ms: float
    decision: DecisionView
    window: WindowView | None = None


def plain(value: Any) -> Any:
    """Return views as what JSON knows; what is not finite becomes ``None``.

    A browser refuses a whole message for one NaN.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    return value
