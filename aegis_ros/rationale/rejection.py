"""A request is rejected: by which rule, with which numbers, and what would have changed it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.admission import CutReason, SlowedTask
from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason
from aegis_ros.rationale.record import Counterfactual, Witness
from aegis_ros.rationale.verdicts import Finding

__all__ = [
    "Cancelled",
    "ChainLate",
    "CriticalRunning",
    "ExitIncomplete",
    "ExitUnknownToBackend",
    "Failed",
    "Followed",
    "Invalid",
    "ModelUnreadable",
    "NameTaken",
    "NoProfile",
    "NoStandIn",
    "NoSuchLane",
    "NoSuchOutput",
    "NoSuchTask",
    "NotAccepted",
    "NotConfigured",
    "NotMeasuredBeside",
    "NotSchedulable",
    "NotStreamed",
    "OthersLate",
    "OutputsDiffer",
    "ProfileUnreadable",
    "TooManyTasks",
    "TooManyWaiting",
    "Unforeseen",
]


@dataclass(frozen=True, slots=True)
class Invalid(Reason):
    """An error said no; ``problem`` says what is wrong, where, and what to do."""

    decision = Decision.REJECTED

    task: str
    rule: Rule
    problem: str


@dataclass(frozen=True, slots=True)
class Failed(Reason):
    """The engine could not load the network."""

    decision = Decision.REJECTED
    rule = Rule.RUN_FAILED

    task: str
    problem: str


@dataclass(frozen=True, slots=True)
class Unforeseen(Reason):
    """A request failed in a way that is a mistake of this package."""

    decision = Decision.REJECTED
    rule = Rule.STATE

    task: str
    problem: str


@dataclass(frozen=True, slots=True)
class NotConfigured(Reason):
    """The orchestrator is not configured."""

    decision = Decision.REJECTED
    rule = Rule.STATE

    task: str


@dataclass(frozen=True, slots=True)
class NotAccepted(Reason):
    """The configuration does not let this request in.

    Attributes:
        task: its name.
        accept: the value of ``services.accept``.
        elsewhere: nodes on other machines that have a client of the service.
    """

    decision = Decision.REJECTED
    rule = Rule.SERVICES

    task: str
    accept: str
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CriticalRunning(Reason):
    """Measuring would disturb tasks of high criticality that run."""

    decision = Decision.REJECTED
    rule = Rule.STATE

    task: str


@dataclass(frozen=True, slots=True)
class Cancelled(Reason):
    """The request was cancelled before it was done.

    Attributes:
        task: its name.
        request: what was asked for: ``register``, ``evaluate`` or ``profile``.
        stage: how far it was: ``waiting``, ``preparing``, ``measuring`` or ``loading``.
        done: runs measured, of ``total``; 0 of 0 in other stages.
        total: runs to measure.
    """

    decision = Decision.REJECTED
    rule = Rule.OPERATOR

    task: str
    request: str
    stage: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class TooManyWaiting(Reason):
    """As many requests wait for their turn as there can be."""

    decision = Decision.REJECTED
    rule = Rule.LIMIT

    task: str
    most: int


@dataclass(frozen=True, slots=True)
class NameTaken(Reason):
    """A task of this name is admitted."""

    decision = Decision.REJECTED
    rule = Rule.DUPLICATE_NAME

    task: str


@dataclass(frozen=True, slots=True)
class NoSuchTask(Reason):
    """No task of this name is admitted; ``known`` are."""

    decision = Decision.REJECTED
    rule = Rule.UNKNOWN_TASK

    task: str
    asked: str
    known: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TooManyTasks(Reason):
    """As many tasks are admitted as there can be."""

    decision = Decision.REJECTED
    rule = Rule.LIMIT

    task: str
    most: int


@dataclass(frozen=True, slots=True)
class NotStreamed(Reason):
    """Weights are to take turns in memory, and cannot.

    Attributes:
        task: its name.
        resident: how many segments are asked for.
        backend: what would run it.
        able: backends that stream weights, where this one does not.
        note: why the network cannot be streamed, where the backend streams others.
    """

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    resident: int
    backend: str
    able: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class NoSuchLane(Reason):
    """The task names a lane that does not exist."""

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    asked: str
    lanes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelUnreadable(Reason):
    """The network's file cannot be read."""

    decision = Decision.REJECTED
    rule = Rule.MODEL_FILE

    task: str
    model: str
    problem: str


@dataclass(frozen=True, slots=True)
class NoProfile(Reason):
    """The network was never measured, and cannot be now.

    Attributes:
        task: its name.
        device: where it was not measured.
        segments: in how many it would run.
        declared: whether that number is declared.
    """

    decision = Decision.REJECTED
    rule = Rule.WCET_PROFILE

    task: str
    device: str
    segments: int
    declared: bool


@dataclass(frozen=True, slots=True)
class NotMeasuredBeside(Reason):
    """The network was never measured while some others run on other lanes, and cannot be now.

    Attributes:
        task: that was not measured.
        lane: its lane.
        neighbours: tasks on other lanes.
        contends: what the lanes have in common.
    """

    decision = Decision.REJECTED
    rule = Rule.WCET_PROFILE

    task: str
    lane: str
    neighbours: tuple[str, ...]
    contends: str


@dataclass(frozen=True, slots=True)
class ProfileUnreadable(Reason):
    """The network was measured, and its profile cannot be read back."""

    decision = Decision.REJECTED
    rule = Rule.WCET_PROFILE

    task: str


@dataclass(frozen=True, slots=True)
class NotSchedulable(Reason):
    """A deadline could be missed.

    Attributes:
        task: its name.
        rule: the test that decided.
        lane: where it came closest to fitting.
        lanes: how many there are.
        test: the inequality that decided.
        finding: what the test found.
        cut: why it runs in as many segments as it does.
        counterfactuals: changes that would admit it.
    """

    decision = Decision.REJECTED

    task: str
    rule: Rule
    lane: str
    lanes: int
    test: Inequality
    finding: Finding
    cut: CutReason | None
    utilization_before: float
    utilization_after: float
    witness: Witness | None
    counterfactuals: tuple[Counterfactual, ...]

    def tested(self) -> Inequality:
        """Return the inequality that decided."""
        return self.test


@dataclass(frozen=True, slots=True)
class OthersLate(Reason):
    """Beside the task, running tasks on another lane take so long that a deadline is missed.

    Attributes:
        task: its name.
        rule: the test that decided.
        lane: where it would run.
        other: the task that could be late.
        other_lane: where that runs.
        late_ns: by how much, in the interval of the witness; 0 where the lane is overloaded.
        slowed: the tasks of that lane that would take longer.
        test: the inequality that decided.
        finding: what the test found.
        utilization_before: of the other lane.
        utilization_after: of the other lane.
        witness: of the other lane.
        counterfactuals: changes that would admit it.
    """

    decision = Decision.REJECTED

    task: str
    rule: Rule
    lane: str
    other: str
    other_lane: str
    late_ns: int
    slowed: tuple[SlowedTask, ...]
    test: Inequality
    finding: Finding
    utilization_before: float
    utilization_after: float
    witness: Witness | None
    counterfactuals: tuple[Counterfactual, ...]

    def tested(self) -> Inequality:
        """Return the inequality that decided."""
        return self.test


@dataclass(frozen=True, slots=True)
class NoSuchOutput(Reason):
    """``early_exit`` names an output that the network does not have."""

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    output: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputsDiffer(Reason):
    """A stand-in has another type or shape than the output it stands in for."""

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    output: str
    output_type: str
    stand_in: str
    stand_in_type: str


@dataclass(frozen=True, slots=True)
class NoStandIn(Reason):
    """The decoder reads an output that neither is complete at the early exit nor has a stand-in."""

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    decoder: str
    output: str
    exit_after: int
    segments: int


@dataclass(frozen=True, slots=True)
class ExitUnknownToBackend(Reason):
    """The backend cannot hand out a stand-in before the last segment has ended."""

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    output: str
    stand_in: str
    backend: str


@dataclass(frozen=True, slots=True)
class ExitIncomplete(Reason):
    """A stand-in is complete with the last segment only.

    Attributes:
        task: its name.
        output: what it stands in for.
        stand_in: the stand-in.
        segments: in how many the network runs.
        advised: in how many it should.
        note: what the backend says of the cut; may be empty.
    """

    decision = Decision.REJECTED
    rule = Rule.SCHEMA

    task: str
    output: str
    stand_in: str
    segments: int
    advised: int
    note: str


@dataclass(frozen=True, slots=True)
class ChainLate(Reason):
    """With the task, a chain could miss its deadline.

    Attributes:
        task: its name.
        lane: where it would run.
        findings: what fails, one for each chain or lane.
        bound_ns: of the first chain that fails, from its frame to its last result; 0 where a lane
            fails before that can be said.
        deadline_ns: what that is held against.
    """

    decision = Decision.REJECTED
    rule = Rule.CHAIN

    task: str
    lane: str
    findings: tuple[Finding, ...]
    bound_ns: int
    deadline_ns: int

    def tested(self) -> Inequality:
        """Return the bound of the chain against its deadline."""
        return Inequality(self.bound_ns / 1e6, ">", self.deadline_ns / 1e6, "ms")


@dataclass(frozen=True, slots=True)
class Followed(Reason):
    """A task cannot be removed while results of it trigger others."""

    decision = Decision.REJECTED
    rule = Rule.STATE

    task: str
    followers: tuple[str, ...]
