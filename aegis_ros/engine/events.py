"""What an engine's client reports to its owner: results, skips, overruns and losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aegis_ros.engine.types import LaneState, LeftOut
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.engine import EngineCause
from aegis_ros.rationale.wording import sentence
from aegis_ros.spec import OverrunPolicy

__all__ = [
    "EngineEvent",
    "EngineStatus",
    "JobResult",
    "JobSkip",
    "OverrunEvent",
    "PartialResult",
]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """The engine at one moment.

    Attributes:
        pid: process id, 0 while there is none.
        alive_ns: when its loop last said that it lives, monotonic.
        lanes: what they do.
        restarts: how often it came back.
        restart_ns: how long that took the last time.
        standby_pid: of the process that waits to take over, 0 for none.
        given_up: whether it was lost too often and is not started again by itself.
    """

    pid: int
    alive_ns: int
    lanes: tuple[LaneState, ...]
    restarts: int
    restart_ns: int
    standby_pid: int = 0
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something happened to the engine as a whole.

    Attributes:
        reason: what happened, one of :mod:`aegis_ros.rationale.engine`.
        lost: (task id, sequence number) of the jobs that were in flight.
        recovered: True once everything is loaded again.
        duration_ns: time from the loss to the recovery.
        quarantined: ids of the tasks that are not loaded any more because they crash the engine.
        failed: (task id, reason) of tasks that could not be loaded again.
        cause: why it was lost; with the recovery, too.
        lane: the lane that had stood still before the loss; -1 for all of them.
        stood_ns: for how long it had.
    """

    reason: Reason
    lost: tuple[tuple[int, int], ...] = ()
    recovered: bool = False
    duration_ns: int = 0
    quarantined: tuple[int, ...] = ()
    failed: tuple[tuple[int, str], ...] = ()
    cause: EngineCause | None = None
    lane: int = -1
    stood_ns: int = 0

    @property
    def rule(self) -> Rule:
        """``ENGINE_RESTART`` for a loss or a restart, ``LIMIT`` when it is given up."""
        return self.reason.rule

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        return sentence(self.reason)

    def outage_ns(self, lane: int) -> int:
        """Return for how long a lane ran nothing until the recovery."""
        return self.duration_ns + (self.stood_ns if self.lane in (-1, lane) else 0)


@dataclass(frozen=True, slots=True)
class OverrunEvent:
    """A segment took longer than its budget, and what the scheduler did about it.

    Attributes:
        task_id: whose job it was.
        seq: sequence number of the job.
        lane: index of the lane.
        segment: index of the segment.
        taken_ns: how long it ran.
        budget_ns: how long it was allowed to.
        used_ns: how long the job has run so far, all its segments.
        applied: what was done to the job there; ``None`` where it goes on or had ended. With
            ``early_exit`` it ends where its exit is complete: there, or later, unless it has caught
            up by then.
        skips: how many jobs of the task are skipped to pay back what was taken from others.
        sheds: whether the lane refuses from here on what is below high criticality.
        absorbed: whether nothing follows because the lane has room for it.
    """

    task_id: int
    seq: int
    lane: int
    segment: int
    taken_ns: int
    budget_ns: int
    used_ns: int
    applied: OverrunPolicy | None = None
    skips: int = 0
    sheds: bool = False
    absorbed: bool = False


@dataclass(frozen=True, slots=True)
class JobSkip:
    """A job that gives no result.

    Attributes:
        task_id: whose job it was.
        seq: sequence number of the job.
        rule: why.
        text: more about it, for people; may be empty.
        origin: what was handed in with the job.
        stopped: whether it had begun and was stopped for exceeding its budget.
    """

    task_id: int
    seq: int
    rule: Rule
    text: str = ""
    origin: object = None
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class PartialResult:
    """Outputs that a job has completed before its end; its result or its skip is yet to come.

    Attributes:
        task_id: whose job it is.
        seq: sequence number of the job.
        number: how many came before it for this job.
        outputs: complete ones by name: views of shared memory that stay valid until the result is
            released, or, where the job is skipped, until the callback returns.
        origin: what was handed in with the job.
    """

    task_id: int
    seq: int
    number: int
    outputs: Mapping[str, npt.NDArray[np.generic]]
    origin: object = None


@dataclass(slots=True)
class JobResult:
    """Outputs and timing of one job; all times monotonic nanoseconds.

    ``outputs`` are views of shared memory that stay valid until :meth:`release`. Those of a job
    that ended at its ``early_exit`` are what is valid then, stand-ins under the names of what they
    stand in for. ``origin`` is what was handed in with the job; ``handed_ns`` is when the client
    handed the result out, 0 for not known. ``left_out`` names outputs of which not all rows are
    there.
    """

    task_id: int
    seq: int
    arrival_ns: int
    received_ns: int
    deadline_ns: int
    released_ns: int
    started_ns: int
    finished_ns: int
    execution_ns: int
    outputs: Mapping[str, npt.NDArray[np.generic]]
    early_exit: bool = False
    origin: object = None
    handed_ns: int = 0
    _release: Callable[[], None] | None = field(default=None, repr=False)
    left_out: tuple[LeftOut, ...] = ()

    def release(self) -> None:
        """Hand the output slot back to the engine; safe to call twice."""
        hand_back, self._release = self._release, None
        if hand_back is not None:
            hand_back()
