"""What a scheduler wants done: the answers to the events it is told.

Most events have no answer, and nearly all others have one. Where one action is the whole answer
the scheduler hands out the same object again and again, so that nothing is allocated while a robot
drives: an action is good until the scheduler's next event, and is not to be kept.
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
        detail: ``stopped`` where it had begun and was over its budget, or what the caller said of a
            job that it gave up; else empty.
    """

    job: Job
    rule: Rule
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Overrun:
    """A step took longer than its budget; integer nanoseconds.

    What follows from it comes after it: :class:`Shed`, :class:`Skipped` for every job that is
    given up for it, and :class:`Finished` where the job has ended.

    Attributes:
        lane: index of the lane.
        job: whose step it was.
        step: which one.
        taken_ns: how long it ran.
        budget_ns: how long it was allowed to.
        used_ns: how long the job has run so far, all its steps.
        applied: what was done to the job here; ``None`` where it goes on, or had ended. With
            ``early_exit`` it ends where its exit is complete: here, or later, unless it has caught
            up by then.
        skips: jobs of the task that are skipped to repay what was taken from others, those that
            are given up now included.
        sheds: whether the lane enters high-criticality mode with it.
        absorbed: whether nothing follows because the lane has room for it.
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
    """A lane refuses from here on what is below high criticality, until it next goes idle."""

    lane: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A lane that shed has gone idle, and takes all tasks again."""

    lane: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """A lane idles on purpose: ``tick`` at this time, even if nothing happens before."""

    lane: int
    time_ns: int


Action = Dispatch | Finished | Skipped | Overrun | Shed | Restored | WakeAt
Actions = Sequence[Action]
