"""The engine process: lost, back, and what that means for tasks and frames."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason

__all__ = [
    "EngineBack",
    "EngineCause",
    "EngineEnded",
    "EngineGivenUp",
    "EngineLost",
    "EngineNotBack",
    "JobsLost",
    "LaneOutage",
    "LaneStuck",
    "LoopStuck",
    "NotUnloaded",
    "Quarantined",
    "TaskNotReloaded",
]


class EngineCause:
    """Why the engine is lost, as far as can be seen; each kind is a frozen dataclass."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class EngineEnded(EngineCause):
    """Its process ended.

    Attributes:
        exit_code: negative where that signal ended it.
        outside: whether somebody else sent the signal.
    """

    exit_code: int
    outside: bool = False


@dataclass(frozen=True, slots=True)
class LoopStuck(EngineCause):
    """Its loop has not moved for ``stuck_ns``."""

    stuck_ns: int


@dataclass(frozen=True, slots=True)
class LaneStuck(EngineCause):
    """A segment has been running for ``busy_ns``.

    Attributes:
        task: whose it is; empty for a network that is measured.
        busy_ns: since it began.
        budget_ns: the longest budget of a segment of it, 0 for unknown.
    """

    task: str
    busy_ns: int
    budget_ns: int


@dataclass(frozen=True, slots=True)
class EngineLost(Reason):
    """The engine is gone.

    Attributes:
        cause: why, as far as can be seen.
        jobs: how many were in flight.
        quarantined: names of tasks that crashed it too often and are not loaded any more.
    """

    decision = Decision.INFORMED
    rule = Rule.ENGINE_RESTART

    cause: EngineCause
    jobs: int
    quarantined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineNotBack(Reason):
    """An attempt to start the engine again failed."""

    decision = Decision.INFORMED
    rule = Rule.ENGINE_RESTART

    problem: str


@dataclass(frozen=True, slots=True)
class EngineGivenUp(Reason):
    """The engine was lost too often in too short a time, and is not started again."""

    decision = Decision.INFORMED
    rule = Rule.LIMIT

    losses: int
    within_ns: int


@dataclass(frozen=True, slots=True)
class EngineBack(Reason):
    """The engine runs again.

    Attributes:
        outage_ns: time from the loss until now.
        tasks: how many are loaded.
        quarantined: names of tasks that are left out because they crash it.
        failed: (name, problem) of tasks that could not be loaded again.
    """

    decision = Decision.RESTORED
    rule = Rule.ENGINE_RESTART

    outage_ns: int
    tasks: int
    quarantined: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JobsLost(Reason):
    """Jobs of a task were in the engine when it was lost."""

    decision = Decision.LOST
    rule = Rule.ENGINE_RESTART

    task: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Quarantined(Reason):
    """A task is loaded no more: it ran each time the engine was lost; ``problem`` is the last."""

    decision = Decision.LOST
    rule = Rule.ENGINE_RESTART

    task: str
    problem: str


@dataclass(frozen=True, slots=True)
class TaskNotReloaded(Reason):
    """A task could not be loaded into the engine that was started again."""

    decision = Decision.LOST
    rule = Rule.RUN_FAILED

    task: str
    problem: str


@dataclass(frozen=True, slots=True)
class LaneOutage(Reason):
    """A task runs again after its lane ran nothing for ``outage_ns``."""

    decision = Decision.RESTORED
    rule = Rule.ENGINE_RESTART

    task: str
    lane: str
    outage_ns: int
    period_ns: int
    cause: EngineCause | None

    def tested(self) -> Inequality:
        """Return the length of the outage; nothing was tested."""
        return Inequality(self.outage_ns / 1e6, "", 0.0, "ms")


@dataclass(frozen=True, slots=True)
class NotUnloaded(Reason):
    """The engine did not unload a task that was removed."""

    decision = Decision.INFORMED
    rule = Rule.ENGINE_RESTART

    task: str
    problem: str
