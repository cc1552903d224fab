"""A task is admitted: the proof, and what is said of its budget, its cut and its results."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.decimation import EveryNth
from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason
from aegis_ros.rationale.record import ResponseBound, Witness
from aegis_ros.rationale.verdicts import Finding, SlackShare

__all__ = [
    "BesideBudget",
    "Budget",
    "BudgetBasis",
    "ChainTime",
    "ConstantLatency",
    "CutAsDeclared",
    "CutForOthers",
    "CutNotWorth",
    "CutNote",
    "CutReason",
    "DeclaredBudget",
    "EstimatedBudget",
    "MeasuredBudget",
    "MovedTask",
    "ResultsMeasured",
    "RowsKept",
    "SeenBudget",
    "SegmentsBudget",
    "SharedWith",
    "SlowedTask",
    "TaskAdmitted",
    "WeightsStreamed",
]


class BudgetBasis:
    """What a budget rests on; each kind is a frozen dataclass of plain values."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class DeclaredBudget(BudgetBasis):
    """The budget is the one that was declared, which is that of the network alone.

    Attributes:
        budget_ns: the declared one.
        beside: tasks on other lanes that slow it.
        slowdown: how many times longer it takes beside them, as far as that was measured.
        unmeasured: those of them that it was never measured beside.
    """

    budget_ns: int
    beside: tuple[str, ...] = ()
    slowdown: float = 1.0
    unmeasured: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MeasuredBudget(BudgetBasis):
    """How the budget follows from the runs that were measured, whole and in a few words."""

    basis: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class SegmentsBudget(BudgetBasis):
    """A budget of whole jobs from the sums of runs, and the longest one of a segment."""

    segments: int
    basis: str
    longest_ns: int
    summary: str = ""


@dataclass(frozen=True, slots=True)
class EstimatedBudget(BudgetBasis):
    """Budgets of segments that were never measured, from the budget of the whole."""

    segments: int
    whole: BudgetBasis


@dataclass(frozen=True, slots=True)
class BesideBudget(BudgetBasis):
    """A budget beside what runs on other lanes.

    Attributes:
        neighbour: beside whom the network takes longest.
        lanes: how many other lanes count; with more than one, slowdowns were multiplied.
        alone_ns: the budget where nothing runs on other lanes.
        basis: how the budget beside that one follows from the runs that were measured.
        at_once_ns: the budget of runs with several other lanes busy at once; 0 for never measured.
        at_once: whether that is the largest: ``neighbour`` are then all that ran.
    """

    neighbour: str
    lanes: int
    alone_ns: int
    basis: BudgetBasis
    at_once_ns: int = 0
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class SeenBudget(BudgetBasis):
    """A budget that was raised to what jobs took while they ran.

    Attributes:
        times: how many jobs exceeded the one before.
        before_ns: that one.
    """

    times: int
    before_ns: int


@dataclass(frozen=True, slots=True)
class Budget:
    """Budget of a whole job: where it is from (measured, declared, estimated), and its basis."""

    source: str
    work_ns: int
    basis: BudgetBasis


class CutReason:
    """Why a network runs in as many segments as it does; each kind is a frozen dataclass."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class CutAsDeclared(CutReason):
    """The number of segments is declared."""

    segments: int


@dataclass(frozen=True, slots=True)
class CutNote(CutReason):
    """What the backend says of a network it did not cut as asked."""

    note: str


@dataclass(frozen=True, slots=True)
class CutForOthers(CutReason):
    """The network is cut because ``waiting`` can wait no longer than ``tolerance_ns``."""

    segments: int
    longest_ns: int
    whole_ns: int
    waiting: str
    tolerance_ns: int


@dataclass(frozen=True, slots=True)
class CutNotWorth(CutReason):
    """The network stays whole: cut as far as it goes, its longest segment is still too long."""

    segments: int
    longest_ns: int
    waiting: str
    tolerance_ns: int


@dataclass(frozen=True, slots=True)
class WeightsStreamed(CutReason):
    """Only some segments have their weights in memory at once; the others are loaded in each job.

    Attributes:
        segments: in how many the network runs.
        resident: how many are in memory at once.
        chosen: whether that is as many as the arena has room for; declared otherwise.
        weights_bytes: that their weights take.
        all_bytes: that the weights of all segments would take.
        load_bytes: that each job loads.
        load_ns: how long that took when the segments were made, longest loads added up.
        storage: ``cold`` or ``warm``.
    """

    segments: int
    resident: int
    chosen: bool
    weights_bytes: int
    all_bytes: int
    load_bytes: int
    load_ns: int
    storage: str


@dataclass(frozen=True, slots=True)
class ConstantLatency:
    """What the proof means for a task whose results are published at a constant age.

    Attributes:
        task: its name.
        constant_ns: the age that is declared.
        latest_ns: the age a result can have by the proof.
        holds_ns: the least age that would hold for every result; 0 where none would.
    """

    task: str
    constant_ns: int
    latest_ns: int
    holds_ns: int


@dataclass(frozen=True, slots=True)
class ResultsMeasured:
    """On what a budget was measured, where the time depends on how much the network finds.

    Attributes:
        frames: what was given to measure it on, as ``12 images of street``; empty for a pattern.
        found: how much it finds in that pattern.
        most: the most it can find; 0 where nothing is known to limit it.
        kept: how much of it is kept; 0 for a number of results that is fixed.
    """

    frames: str
    found: int
    most: int
    kept: int


@dataclass(frozen=True, slots=True)
class RowsKept:
    """How many rows are kept of results that may have more, where no number was declared.

    Attributes:
        kept: how many.
        most: the most there can be; 0 where nothing is known to limit it.
    """

    kept: int
    most: int


@dataclass(frozen=True, slots=True)
class MovedTask:
    """A running task that goes to another lane so that a new one fits."""

    task: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class SlowedTask:
    """A running task on another lane whose jobs may take longer beside a new one."""

    task: str
    lane: str
    before_ns: int
    after_ns: int


@dataclass(frozen=True, slots=True)
class ChainTime:
    """The bound of a chain, from the frame that triggers its first task to the end of its last.

    Attributes:
        chain: its tasks in order.
        bound_ns: longest time to the end of the last task's job.
        deadline_ns: what it is held against.
    """

    chain: str
    bound_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class SharedWith:
    """Another orchestrator on what a lane computes on.

    Attributes:
        part: the core or device, in words.
        node: full name of its node.
        pid: of its process, 0 where that is not known.
        utilization: which part of its lane there it has admitted.
    """

    part: str
    node: str
    pid: int
    utilization: float


@dataclass(frozen=True, slots=True)
class TaskAdmitted(Reason):
    """A task is admitted.

    Attributes:
        task: its name.
        rule: the test that decided.
        lane: where it runs.
        lane_method: how the lane was chosen; empty where there is only one, or the task names it.
        test: the inequality that decided.
        finding: what the test found.
        slack: what is left for tasks of best effort.
        bound_ns: worst-case response time, 0 for a task of best effort.
        deadline_ns: what it is held against.
        budget: of a whole job.
        cut: why it runs in as many segments as it does; ``None`` for whole without more ado.
        load_note: what the engine says of the network it loaded; may be empty.
        latencies: of tasks with a constant latency.
        decimated: tasks of the lane that take every n-th frame from now on.
        moved: running tasks that go to other lanes first.
        barred: why it cannot run on lanes of other classes, one sentence each.
        chains: what is proven, end to end, of the chains that it is part of.
        shared: other orchestrators on what its lane computes on, which the proof does not count.
        slowed: running tasks on other lanes whose budgets grow.
        unknown: running tasks on other lanes whose declared budgets stay, each with its lane.
        results: on what the budget was measured, where that depends on what is found.
        rows: how many rows its results have at most, where nobody said how many are wanted.
    """

    decision = Decision.ADMITTED

    task: str
    rule: Rule
    lane: str
    lane_method: str
    test: Inequality
    finding: Finding
    slack: tuple[SlackShare, ...]
    bound_ns: int
    deadline_ns: int
    budget: Budget
    cut: CutReason | None
    load_note: str
    latencies: tuple[ConstantLatency, ...]
    decimated: tuple[EveryNth, ...]
    utilization_before: float
    utilization_after: float
    witness: Witness | None
    responses: tuple[ResponseBound, ...]
    moved: tuple[MovedTask, ...] = ()
    barred: tuple[str, ...] = ()
    chains: tuple[ChainTime, ...] = ()
    shared: tuple[SharedWith, ...] = ()
    slowed: tuple[SlowedTask, ...] = ()
    results: ResultsMeasured | None = None
    rows: RowsKept | None = None
    unknown: tuple[tuple[str, str], ...] = ()

    def tested(self) -> Inequality:
        """Return the inequality that decided."""
        return self.test
