"""Actions: what a scheduler answers to an event.

Most events have no answer, and nearly all others have one action. For those the scheduler returns
the same object again and again, so that nothing is allocated while a robot drives: an action is
valid until the scheduler's next event, and must not be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_ros.rationale import Rule
from aegis_ros.scheduling.job import EARLY, Job
from aegis_ros.spec import OverrunPolicy

__all__ = [
    "Action",
    "Actions",
    "Dispatch",
    "Finished",
    "Overrun",
    "Restored",
    "Shed",
    "Skipped",
    "WakeAt",
]


@dataclass(slots=True)
class Dispatch:
    """Start work on an idle lane.

    Attributes:
        lane: index of the lane.
        jobs: whose next step it is: of one job, or the same step of several (a batch).
    """

    lane: int
    jobs: tuple[Job, ...] = ()

    @property
    def step(self) -> int:
        """What to run."""
        return self.jobs[0].step


@dataclass(slots=True)
class Finished:
    """A job has ended and has a result."""

    job: Job

    @property
    def early(self) -> bool:
        """Whether it ended at its early exit."""
        return self.job.state == EARLY


@dataclass(frozen=True, slots=True)
class Skipped:
    """A job will not end: it was dropped, refused, stopped, or has failed.

    Attributes:
        job: which one.
        rule: why.
        detail: the caller's reason for abandoning it; else empty.
        stopped: whether it had begun and was stopped for exceeding its budget.
    """

    job: Job
    rule: Rule
    detail: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Overrun:
    """A step took longer than its budget; integer nanoseconds.

    Its consequences follow it: :class:`Shed`, :class:`Skipped` for every job that it costs, and
    :class:`Finished` where the job has ended.

    Attributes:
        lane: index of the lane.
        job: whose step it was.
        step: which one.
        taken_ns: how long it ran.
        budget_ns: how long it was allowed to.
        used_ns: how long the job has run so far, all its steps.
        applied: policy applied to the job; ``None`` where it continues, or had ended. With
            ``early_exit`` it ends where its exit is complete: here, or later, unless it has caught
            up by then.
        skips: jobs of the task that are skipped to repay the overrun, those skipped now included.
        sheds: whether the lane enters high-criticality mode with it.
        absorbed: whether it has no consequence because the lane has a reserve for it.
    """

    lane: int
    job: Job
    step: int
    taken_ns: int
    budget_ns: int
    used_ns: int
    applied: OverrunPolicy | None = None
    skips: int = 0
    sheds: bool = False
    absorbed: bool = False


@dataclass(frozen=True, slots=True)
class Shed:
    """A lane runs only tasks of high criticality from here on, until it next goes idle."""

    lane: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A lane that shed tasks has gone idle, and runs all tasks again."""

    lane: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """A lane idles on purpose: ``tick`` at this time, even if nothing happens before."""

    lane: int
    time_ns: int


Action = Dispatch | Finished | Skipped | Overrun | Shed | Restored | WakeAt
Actions = Sequence[Action]
