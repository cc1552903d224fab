"""Changes that would turn a decision around, each verified by running the test with it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ArenaLarger",
    "BudgetSmaller",
    "Change",
    "CutBucket",
    "CutOther",
    "CutTask",
    "DeadlineExtended",
    "DeadlineLonger",
    "DropForArena",
    "DropForRest",
    "DropTask",
    "DropTasks",
    "JitterLonger",
    "OtherDeadlineLonger",
    "PeriodLonger",
    "PeriodShorter",
    "ResidentOther",
]


class Change:
    """A change that admits a task or its frames; each kind is a frozen dataclass of plain values.

    Attributes:
        change: name of what is changed (``period_ms``, ``wcet_ms``, ``deadline_ms``, ``drop`` …).
    """

    __slots__ = ()

    change: str

    def of(self) -> tuple[str, float]:
        """Return the task to change, and the value that passes, in the unit ``change`` names."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class PeriodLonger(Change):
    """The task comes less often; ``with_deadline``: an implicit deadline moves along."""

    change = "period_ms"

    admits: str
    period_ns: int
    before_ns: int
    with_deadline: bool

    def of(self) -> tuple[str, float]:
        """Return the task and its period."""
        return self.admits, self.period_ns / 1e6


@dataclass(frozen=True, slots=True)
class JitterLonger(Change):
    """More jitter is declared, and all frames that came early pass the gate."""

    change = "jitter_ms"

    task: str
    jitter_ns: int
    before_ns: int

    def of(self) -> tuple[str, float]:
        """Return the task and its jitter."""
        return self.task, self.jitter_ns / 1e6


@dataclass(frozen=True, slots=True)
class PeriodShorter(Change):
    """A shorter period is declared, and all frames that came early pass the gate."""

    change = "period_ms"

    task: str
    period_ns: int
    before_ns: int

    def of(self) -> tuple[str, float]:
        """Return the task and its period."""
        return self.task, self.period_ns / 1e6


@dataclass(frozen=True, slots=True)
class DeadlineExtended(Change):
    """The deadline that the test uses is ``more_ns`` later."""

    change = "deadline_ms"

    admits: str
    deadline_ns: int
    more_ns: int

    def of(self) -> tuple[str, float]:
        """Return the task and the deadline of the test."""
        return self.admits, self.deadline_ns / 1e6


@dataclass(frozen=True, slots=True)
class DeadlineLonger(Change):
    """The deadline as it is declared is later."""

    change = "deadline_ms"

    admits: str
    deadline_ns: int

    def of(self) -> tuple[str, float]:
        """Return the task and its declared deadline."""
        return self.admits, self.deadline_ns / 1e6


@dataclass(frozen=True, slots=True)
class OtherDeadlineLonger(Change):
    """The declared deadline of a running task is later."""

    change = "deadline_ms"

    admits: str
    task: str
    deadline_ns: int

    def of(self) -> tuple[str, float]:
        """Return the running task and its declared deadline."""
        return self.task, self.deadline_ns / 1e6


@dataclass(frozen=True, slots=True)
class BudgetSmaller(Change):
    """The network takes less time."""

    change = "wcet_ms"

    admits: str
    budget_ns: int
    before_ns: int

    def of(self) -> tuple[str, float]:
        """Return the task and its budget."""
        return self.admits, self.budget_ns / 1e6


@dataclass(frozen=True, slots=True)
class CutTask(Change):
    """The task's own network runs in more segments."""

    change = "segments"

    admits: str
    segments: int
    longest_ns: int

    def of(self) -> tuple[str, float]:
        """Return the task and its number of segments."""
        return self.admits, self.segments


@dataclass(frozen=True, slots=True)
class CutBucket(Change):
    """A bucket of a generator runs in more parts."""

    change = "parts"

    generator: str
    bucket: str
    parts: int
    longest_ns: int

    def of(self) -> tuple[str, float]:
        """Return the generator and the number of parts."""
        return self.generator, float(self.parts)


@dataclass(frozen=True, slots=True)
class CutOther(Change):
    """The network of another task runs in more segments."""

    change = "segments"

    admits: str
    task: str
    segments: int
    longest_ns: int

    def of(self) -> tuple[str, float]:
        """Return the other task and its number of segments."""
        return self.task, self.segments


@dataclass(frozen=True, slots=True)
class ResidentOther(Change):
    """Another number of the task's segments is in memory at once; times are estimated.

    Attributes:
        admits: the task.
        resident: how many segments; 0 for all.
        need_bytes: what it takes then.
        before_bytes: what it would take as asked for.
        budget_ns: of a job then.
        before_ns: of a job as asked for.
        loads_only: whether these are times of loading alone, where a job was never measured.
    """

    change = "resident"

    admits: str
    resident: int
    need_bytes: int
    before_bytes: int
    budget_ns: int
    before_ns: int
    loads_only: bool = False

    def of(self) -> tuple[str, float]:
        """Return the task and the number of segments."""
        return self.admits, self.resident


@dataclass(frozen=True, slots=True)
class DropTask(Change):
    """Another task is removed."""

    change = "drop"

    admits: str
    task: str
    criticality: str

    def of(self) -> tuple[str, float]:
        """Return the other task."""
        return self.task, 0.0


@dataclass(frozen=True, slots=True)
class DropTasks(Change):
    """Several other tasks are removed."""

    change = "drop"

    admits: str
    tasks: tuple[str, ...]

    def of(self) -> tuple[str, float]:
        """Return the other tasks, separated by commas."""
        return ", ".join(self.tasks), 0.0


@dataclass(frozen=True, slots=True)
class DropForArena(Change):
    """Another task is removed and its memory with it."""

    change = "drop"

    admits: str
    task: str
    arena_bytes: int

    def of(self) -> tuple[str, float]:
        """Return the other task."""
        return self.task, 0.0


@dataclass(frozen=True, slots=True)
class ArenaLarger(Change):
    """The device's arena is larger."""

    change = "arena_mib"

    admits: str
    arena_mib: int

    def of(self) -> tuple[str, float]:
        """Return the task and the size of the arena."""
        return self.admits, self.arena_mib


@dataclass(frozen=True, slots=True)
class DropForRest(Change):
    """Without these tasks, the ``kept`` others of a set fit together."""

    change = "drop"

    tasks: tuple[str, ...]
    kept: int

    def of(self) -> tuple[str, float]:
        """Return the tasks, separated by commas."""
        return ", ".join(self.tasks), 0.0
