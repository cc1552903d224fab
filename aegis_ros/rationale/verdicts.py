"""Findings of the schedulability tests: what a lane's verdict rests on."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.record import Witness

__all__ = [
    "BlockedInSlack",
    "ChainTooLong",
    "ChainsHold",
    "ChainsUndecided",
    "CycleTooLong",
    "DemandFits",
    "DemandTooHigh",
    "Finding",
    "IdlingHelps",
    "IdlingUnneeded",
    "JitterHidesJobs",
    "LaneEmpty",
    "LaneOverloaded",
    "LateDespiteIdling",
    "LateInHighMode",
    "LateWithChainJitter",
    "ModesHold",
    "NearPeriod",
    "NoDeadlines",
    "NoGapFits",
    "NoTableExists",
    "NothingToDrop",
    "PlacesAmbiguous",
    "SlackShare",
    "TableHolds",
    "TaskTooLong",
    "Undecided",
    "UndecidedSchedule",
    "UndecidedTable",
]


class Finding:
    """What a test found on a lane; each kind is a frozen dataclass of plain values."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class SlackShare:
    """What a task of best effort can expect, in frames a second on average.

    Attributes:
        task: name.
        asked: frames that come, at most.
        left: frames there is time for.
    """

    task: str
    asked: float
    left: float

    @property
    def share(self) -> float:
        """Part of its frames that there is time for, 0 to 1."""
        return self.left / self.asked


@dataclass(frozen=True, slots=True)
class LaneEmpty(Finding):
    """Nothing runs on the lane."""

    lane: str


@dataclass(frozen=True, slots=True)
class NoDeadlines(Finding):
    """Everything on the lane is of best effort."""

    lane: str


@dataclass(frozen=True, slots=True)
class LaneOverloaded(Finding):
    """The tasks need more than all of the lane, however little more."""

    lane: str
    utilization: float


@dataclass(frozen=True, slots=True)
class TaskTooLong(Finding):
    """A task cannot meet its deadline even alone."""

    task: str
    wcet_ns: int
    jitter_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class DemandTooHigh(Finding):
    """More can be due within an interval than fits into it."""

    lane: str
    witness: Witness


@dataclass(frozen=True, slots=True)
class DemandFits(Finding):
    """No more is ever due within an interval than fits; the witness is where least is left."""

    lane: str
    witness: Witness


@dataclass(frozen=True, slots=True)
class Undecided(Finding):
    """The demand test has no end within its limits.

    ``above_one`` compares the exact utilization with 1: it is 1, 0 or -1.
    """

    lane: str
    utilization: float
    above_one: int


@dataclass(frozen=True, slots=True)
class NothingToDrop(Finding):
    """High budgets do not fit, and nothing is below high criticality."""

    cause: Finding


@dataclass(frozen=True, slots=True)
class LateInHighMode(Finding):
    """When a budget is exceeded, tasks of high criticality can be late whatever is dropped."""

    lane: str
    cause: Finding


@dataclass(frozen=True, slots=True)
class ModesHold(Finding):
    """Both modes hold: all tasks in low mode, those of high criticality in high mode."""

    lane: str


@dataclass(frozen=True, slots=True)
class IdlingUnneeded(Finding):
    """EDF holds without idling, so that ``cw_edf`` never idles."""

    cause: Finding


@dataclass(frozen=True, slots=True)
class BlockedInSlack(Finding):
    """Idling could help, but tasks of best effort need gaps that are known."""

    cause: Finding
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JitterHidesJobs(Finding):
    """Idling could help, but release jitter hides when jobs become ready."""

    cause: Finding
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LateDespiteIdling(Finding):
    """A job is late although the lane idles in time for the next one."""

    lane: str
    task: str
    arrival_ns: int
    response_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class IdlingHelps(Finding):
    """With idling no job is late in a whole cycle."""

    lane: str
    cycle_ns: int


@dataclass(frozen=True, slots=True)
class NearPeriod:
    """A period near that of a task.

    Attributes:
        task: its name.
        period_ns: as it is.
        near_ns: as it might be.
    """

    task: str
    period_ns: int
    near_ns: int


@dataclass(frozen=True, slots=True)
class CycleTooLong:
    """The periods have a common cycle of more segments than are looked at.

    Attributes:
        cycle_ns: its length, ``None`` where that is beyond counting.
        limit: segments that are looked at.
        instead: periods with which all deadlines hold; empty where none so near are known.
        short_ns: length of the common cycle with these.
    """

    cycle_ns: int | None
    limit: int
    instead: tuple[NearPeriod, ...] = ()
    short_ns: int = 0


@dataclass(frozen=True, slots=True)
class UndecidedSchedule(Finding):
    """The schedule did not repeat within the limits of the test."""

    lane: str
    cycle: CycleTooLong | None


@dataclass(frozen=True, slots=True)
class UndecidedTable(Finding):
    """No table was found within the limits of the search."""

    lane: str
    cycle: CycleTooLong | None


@dataclass(frozen=True, slots=True)
class PlacesAmbiguous(Finding):
    """Jobs of tasks with a jitter of a period or more cannot be distinguished by a table."""

    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoTableExists(Finding):
    """Every order of the segments makes a job late."""

    lane: str


@dataclass(frozen=True, slots=True)
class NoGapFits(Finding):
    """A table exists, and no gap of it takes a segment of these tasks of best effort."""

    lane: str
    places: int
    cycle_ns: int
    tasks: tuple[str, ...]
    longest_gap_ns: int


@dataclass(frozen=True, slots=True)
class TableHolds(Finding):
    """A table exists that holds every task that arrives periodically."""

    lane: str
    places: int
    cycle_ns: int


@dataclass(frozen=True, slots=True)
class LateWithChainJitter(Finding):
    """A lane fails with the jitter that chains hand on."""

    cause: Finding


@dataclass(frozen=True, slots=True)
class ChainTooLong(Finding):
    """A chain takes longer than its deadline."""

    chain: str
    first: str
    last: str
    latency_ns: int
    deadline_ns: int


@dataclass(frozen=True, slots=True)
class ChainsHold(Finding):
    """Every chain and every stage of it meets its deadline."""


@dataclass(frozen=True, slots=True)
class ChainsUndecided(Finding):
    """The jitter that chains cause kept growing within the limits of the search."""
