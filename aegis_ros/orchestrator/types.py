"""What the orchestrator answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aegis_ros.engine import EngineInfo, EngineStatus
from aegis_ros.memory import MemoryState
from aegis_ros.orchestrator.adapting import AdaptedSummary
from aegis_ros.orchestrator.statistics import Dropped, Unanswered
from aegis_ros.orchestrator.window import Growth
from aegis_ros.rationale import Rationale, Reason, ResultCode
from aegis_ros.spec import GeneratorSpec, TaskSpec
from aegis_ros.trace.balance import Balance

__all__ = [
    "AdmissionRequest",
    "AdmissionStage",
    "AdmissionSummary",
    "GeneratorState",
    "GeneratorSummary",
    "LaneSummary",
    "OrchestratorState",
    "ProfileOutcome",
    "Registration",
    "RejectedTask",
    "StampVerdict",
    "TaskState",
    "TaskSummary",
    "TopicStamps",
]


class TaskState(StrEnum):
    """State of an admitted task; the constants of ``TaskStatus.msg``."""

    RUNNING = "running"
    DISABLED = "disabled"
    WAITING = "waiting"
    SHED = "shed"
    FAILED = "failed"


class StampVerdict(StrEnum):
    """What the stamps of a topic are like for a task that reads it."""

    AGREE = "agree"
    AHEAD = "ahead"
    BEHIND = "behind"
    OFF = "off"


class AdmissionRequest(StrEnum):
    """What is asked for a task by a request that takes long."""

    REGISTER = "register"
    EVALUATE = "evaluate"
    PROFILE = "profile"


class AdmissionStage(StrEnum):
    """How far such a request is; the constants of ``AdmissionStatus.msg``."""

    WAITING = "waiting"
    PREPARING = "preparing"
    MEASURING = "measuring"
    LOADING = "loading"


@dataclass(frozen=True, slots=True)
class AdmissionSummary:
    """A request that takes long.

    Attributes:
        task: name of the task.
        request: what is asked for.
        stage: how far it is.
        done: runs measured, of ``total``; 0 of 0 in other stages.
        total: runs to measure.
        age_s: seconds since it came.
    """

    task: str
    request: AdmissionRequest
    stage: AdmissionStage
    done: int
    total: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Registration:
    """Answer to a request; ``bound`` is the right side of the inequality that decided."""

    accepted: bool
    result: ResultCode
    task_id: int
    rationale: Rationale
    utilization_before: float = 0.0
    utilization_after: float = 0.0
    bound: float = 0.0
    response_bound_ns: int = 0
    deadline_ns: int = 0


@dataclass(frozen=True, slots=True)
class ProfileOutcome:
    """Answer to a request to measure a network."""

    success: bool
    rationale: Rationale
    wcet_ns: int = 0
    p50_ns: int = 0
    max_ns: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class TopicStamps:
    """What the stamps of a task's topic are like, and the least age of a frame at its reception.

    A negative age is from the future.
    """

    topic: str
    verdict: StampVerdict
    least_age_ns: int


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """An admitted task with its figures; times in nanoseconds.

    ``decimation`` is n where every n-th frame becomes a job, and ``decimated`` counts the frames
    that were left out for that; ``skipped`` and ``lost`` do not. ``came`` is how many frames were
    received lately, ``gave`` how many results were published, and ``dropped`` how many frames gave
    none; ages are negative where there was none. ``awaited_s`` is for how long frames have been let
    in without a break, about; 0 while they are not. ``invalid`` counts points and numbers of frames
    that were none, ``not_finite`` results that hold such numbers, ``truncated`` results that lack
    rows, ``slow_unpacking`` frames whose decoding took too large a share of the period, the last of
    them ``slow_unpacking_ns``. ``origin`` says where it comes from.
    """

    task_id: int
    spec: TaskSpec
    state: TaskState
    lane: str
    model_sha256: str
    wcet_ns: int
    wcet_source: str
    response_bound_ns: int
    utilization: float
    arena_bytes: int
    received: int
    completed: int
    missed: int
    skipped: int
    lost: int
    overruns: int
    early_exits: int
    decimated: int
    decimation: int
    rate_hz: float
    response_p50_ns: int
    response_p99_ns: int
    response_max_ns: int
    execution_p50_ns: int
    execution_max_ns: int
    result_age_s: float
    came: Growth
    received_age_s: float
    stamps: tuple[TopicStamps, ...]
    invalid: int
    not_finite: int
    not_finite_lately: Growth
    truncated: int
    slow_unpacking: int
    slow_unpacking_ns: int
    slow_unpacking_lately: Growth
    unanswered: Unanswered
    gave: Growth
    dropped: tuple[Dropped, ...]
    in_flight: int
    undecoded: int
    origin: str
    undecoded_lately: Growth
    undecoded_reason: Reason | None
    problem: str  # why it has failed, empty where it has not
    awaited_s: float
    exit_level: int = -1  # of the last job: 0 its end, 1 its early exit; -1 before the first
    quota_exceeded: int = 0
    load_ns: int = 0


@dataclass(frozen=True, slots=True)
class RejectedTask:
    """A task of the configuration file or of the journal that does not run.

    Attributes:
        name: of the task.
        from_file: whether it is in the configuration file.
        origin: where it comes from, for people.
        rationale: why it was not admitted.
    """

    name: str
    from_file: bool
    origin: str
    rationale: Rationale


@dataclass(frozen=True, slots=True)
class LaneSummary:
    """A lane with its figures; ``utilization_measured`` is of the last seconds."""

    name: str
    cpu: int | None
    utilization_admitted: float
    utilization_measured: float
    slack_ns: int
    running: str
    waiting: int


class GeneratorState(StrEnum):
    """How a generator is; the words of ``GeneratorStatus.msg``."""

    RUNNING = "running"
    PAUSED = "paused"  # it has given up all its steps for the tasks beside it
    FAILED = "failed"  # the engine could not load it again
    REFUSED = "refused"  # it was not admitted


@dataclass(frozen=True, slots=True)
class GeneratorSummary:
    """A generator with its figures.

    Attributes:
        spec: what was asked for.
        state: how it is.
        problem: why it takes no requests; ``None`` where it does.
        lane: where it runs.
        steps: names of the buckets it may use.
        given_up: names of those that it was admitted with and may not use now.
        expected_tokens_per_s: of all answers together, as many as there is time for, about.
        slots: answers that have room at once.
        max_len: tokens of one, its prompt included.
        running: requests that have a slot.
        waiting: requests that wait for one.
        stalled_ns: for how long requests have been in hand and no step has ended; 0 for none.
        cache_bytes: what its slots reserve.
        cache_used_bytes: what those of them reserve that requests have.
        adapted: what it came to, and how much of what was admitted it uses; ``None`` for one that
            was not admitted.
    """

    spec: GeneratorSpec
    state: GeneratorState
    problem: Reason | None
    lane: str
    steps: tuple[str, ...]
    given_up: tuple[str, ...]
    expected_tokens_per_s: float
    slots: int
    max_len: int
    running: int
    waiting: int
    stalled_ns: int
    cache_bytes: int
    cache_used_bytes: int
    adapted: AdaptedSummary | None


@dataclass(frozen=True, slots=True)
class OrchestratorState:
    """Everything at one moment.

    Attributes:
        active: whether frames are let in.
        engine: what the engine said of itself; ``None`` before it was started.
        engine_status: what it does.
        arena_bytes, arena_used_bytes: limit and use of memory.
        lanes, tasks: one each.
        admissions: requests that take long, in the order of their turns.
        admissions_ended: how many of them have ended since none was left.
        audit_head: number and digest of the audit log's last record.
        rejected: tasks and generators that should run and do not.
        generators: one each, refused ones as well.
        memory: of the machine, as it was read last; ``None`` for not yet.
        shed_for_memory: names of what is shed because it is short, first to go first.
        quota_exceeded: decisions by which a limit of memory was met, of all.
    """

    active: bool
    engine: EngineInfo | None
    engine_status: EngineStatus
    arena_bytes: int
    arena_used_bytes: int
    lanes: tuple[LaneSummary, ...]
    tasks: tuple[TaskSummary, ...]
    frames: Balance  # of all tasks, those that are gone as well
    admissions: tuple[AdmissionSummary, ...] = ()
    admissions_ended: int = 0
    audit_head: tuple[int, str] = (0, "")
    rejected: tuple[RejectedTask, ...] = ()
    generators: tuple[GeneratorSummary, ...] = ()
    memory: MemoryState | None = None
    shed_for_memory: tuple[str, ...] = ()
    quota_exceeded: int = 0
