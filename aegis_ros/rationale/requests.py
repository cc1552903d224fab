"""Requests of people and programs: tasks removed, paused, measured, and what is remembered."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = [
    "AdmissionCancelled",
    "CyclesNotKept",
    "FileDecides",
    "JournalFound",
    "JournalLocked",
    "JournalNotRead",
    "JournalNotWritten",
    "JournalUnreadable",
    "JournalWritten",
    "Measured",
    "Measuring",
    "MeasuringBeside",
    "NotClaimed",
    "NotLoaded",
    "NotTraced",
    "ProfilesNotKept",
    "StateExposed",
    "StateNotKept",
    "StoreDamaged",
    "TaskDisabled",
    "TaskEnabled",
    "TaskForgotten",
    "TaskMoved",
    "TaskRemembered",
    "TaskRemoved",
    "TracedAgain",
]


@dataclass(frozen=True, slots=True)
class TaskRemoved(Reason):
    """A task was removed; one of the file is back when the orchestrator is configured again.

    Attributes:
        task: its name.
        lane: where it ran.
        from_file: whether it is in the configuration file.
        utilization_before: of its lane.
        utilization_after: of its lane.
        kept: tasks of other lanes that keep the budgets they have beside it.
    """

    decision = Decision.REMOVED
    rule = Rule.OPERATOR

    task: str
    lane: str
    from_file: bool
    utilization_before: float
    utilization_after: float
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdmissionCancelled(Reason):
    """A request that would have admitted or measured a task was cancelled by its removal.

    Attributes:
        task: its name.
        request: what was asked for: ``register`` or ``profile``.
        stage: how far it was: ``waiting``, ``preparing``, ``measuring`` or ``loading``.
        done: runs measured, of ``total``; 0 of 0 in other stages.
        total: runs to measure.
    """

    decision = Decision.REMOVED
    rule = Rule.OPERATOR

    task: str
    request: str
    stage: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class TaskMoved(Reason):
    """A task runs on another lane, so that ``admits`` fits or as before; no frame was lost.

    Attributes:
        task: its name.
        lane: where it runs now.
        before: where it ran.
        admits: the task that fits by that, or that was not admitted after all.
        work_ns: budget of a whole job on its lane.
        utilization_after: of its lane.
        back: whether it returns to where it was, because ``admits`` was not admitted after all.
    """

    decision = Decision.INFORMED
    rule = Rule.UTILIZATION

    task: str
    lane: str
    before: str
    admits: str
    work_ns: int
    utilization_after: float
    back: bool = False


@dataclass(frozen=True, slots=True)
class TaskEnabled(Reason):
    """A task gets frames again; ``share`` of its lane was reserved for it all the time."""

    decision = Decision.ENABLED
    rule = Rule.OPERATOR

    task: str
    lane: str
    share: float


@dataclass(frozen=True, slots=True)
class TaskDisabled(Reason):
    """A task gets no frames; ``share`` of its lane stays reserved for it."""

    decision = Decision.DISABLED
    rule = Rule.OPERATOR

    task: str
    lane: str
    share: float


@dataclass(frozen=True, slots=True)
class Measuring(Reason):
    """A network without a profile is measured before it is admitted."""

    decision = Decision.INFORMED
    rule = Rule.WCET_PROFILE

    task: str
    runs: int
    limit_ns: int


@dataclass(frozen=True, slots=True)
class MeasuringBeside(Reason):
    """A network is measured while others run on so many other lanes."""

    decision = Decision.INFORMED
    rule = Rule.WCET_PROFILE

    task: str
    neighbour: str
    runs: int
    limit_ns: int
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Measured(Reason):
    """A network was measured; ``basis`` says how its budget follows from the runs."""

    decision = Decision.INFORMED
    rule = Rule.WCET_PROFILE

    task: str
    budget_ns: int
    basis: str


@dataclass(frozen=True, slots=True)
class FileDecides(Reason):
    """A task is in the configuration file, and was admitted through a service before."""

    decision = Decision.INFORMED
    rule = Rule.DUPLICATE_NAME

    task: str


@dataclass(frozen=True, slots=True)
class JournalUnreadable(Reason):
    """The entry of a task in the journal cannot be read; ``problem`` says why."""

    decision = Decision.INFORMED
    rule = Rule.SCHEMA

    task: str
    problem: str


@dataclass(frozen=True, slots=True)
class JournalLocked(Reason):
    """Another process holds a lock on the journal, which is waited for."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    path: str
    most_ns: int


@dataclass(frozen=True, slots=True)
class JournalNotRead(Reason):
    """The journal cannot be read, and nothing is remembered from it until it can be."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class JournalNotWritten(Reason):
    """The journal cannot be written; whatever it lacks is written once it can be."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class JournalWritten(Reason):
    """The journal could be written again, and lacks nothing."""

    decision = Decision.INFORMED
    rule = Rule.STATE


@dataclass(frozen=True, slots=True)
class JournalFound(Reason):
    """The journal could be read again; ``tasks`` of it are not admitted."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateExposed(Reason):
    """Other users can write to the state directory, from which the engine loads networks.

    Attributes:
        path: the folder.
        owner: number of the user who owns it, -1 where that is this user or root.
    """

    decision = Decision.INFORMED
    rule = Rule.STATE

    path: str
    owner: int = -1


@dataclass(frozen=True, slots=True)
class StateNotKept(Reason):
    """The state directory cannot be written; profiles and networks are kept until the end only."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    path: str
    problem: str


@dataclass(frozen=True, slots=True)
class NotClaimed(Reason):
    """Other orchestrators of this host cannot be told which cores and devices are taken."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    problem: str


@dataclass(frozen=True, slots=True)
class ProfilesNotKept(Reason):
    """A profile cannot be stored, and is kept in memory until it can be."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    problem: str


@dataclass(frozen=True, slots=True)
class CyclesNotKept(Reason):
    """The record of what generators ran cannot be written, or was damaged."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    problem: str


@dataclass(frozen=True, slots=True)
class TaskRemembered(Reason):
    """A task of an earlier run is to be admitted again.

    Attributes:
        task: its name.
        since_ns: when it was admitted (nanoseconds since 1970), 0 where that is not known.
        left_out: keys without effect that an earlier version took with it, and ignored.
    """

    decision = Decision.INFORMED
    rule = Rule.STATE

    task: str
    since_ns: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskForgotten(Reason):
    """A task that was not admitted is remembered and reported no longer.

    Attributes:
        task: its name.
        from_file: whether it is in the configuration file, and so tried again.
    """

    decision = Decision.REMOVED
    rule = Rule.OPERATOR

    task: str
    from_file: bool = False


@dataclass(frozen=True, slots=True)
class StoreDamaged(Reason):
    """A file of the orchestrator was damaged, and was moved aside."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    store: str
    moved_to: str


@dataclass(frozen=True, slots=True)
class NotLoaded(Reason):
    """Nothing is measured beside a load of a lane: the load cannot run there."""

    decision = Decision.INFORMED
    rule = Rule.WCET_PROFILE

    lane: str
    load: str
    problem: str


@dataclass(frozen=True, slots=True)
class NotTraced(Reason):
    """Nothing is traced, or nothing more."""

    decision = Decision.INFORMED
    rule = Rule.STATE

    problem: str
    begun: bool


@dataclass(frozen=True, slots=True)
class TracedAgain(Reason):
    """The disk takes the trace again.

    Attributes:
        missing: how many records it lacks.
        stood_ns: for how long nothing was traced.
    """

    decision = Decision.INFORMED
    rule = Rule.STATE

    missing: int
    stood_ns: int
