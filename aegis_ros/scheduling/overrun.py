"""What the scheduler decided about a segment that exceeded its budget."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.scheduling.job import Job
from aegis_ros.spec import OverrunPolicy

__all__ = ["Overrun"]


@dataclass(frozen=True, slots=True)
class Overrun:
    """One overrun with what followed from it; integer nanoseconds.

    Attributes:
        job: whose segment it was.
        segment: index of the segment.
        taken_ns: how long it ran.
        budget_ns: how long it was allowed to.
        used_ns: how long the job has run so far, all its segments.
        applied: what was done to the job here; ``None`` where it goes on, or had ended. With
            ``early_exit`` it ends where its exit is complete: here (``job.early``), or later,
            unless it has caught up by then.
        skips: jobs of the task that are skipped to pay back what was taken from others, those in
            ``dropped`` included.
        dropped: jobs that no longer wait because of it, in the order in which they were given up.
        sheds: whether the lane entered high-criticality mode with it.
        absorbed: whether nothing follows because the lane has room for it.
    """

    job: Job
    segment: int
    taken_ns: int
    budget_ns: int
    used_ns: int
    applied: OverrunPolicy | None = None
    skips: int = 0
    dropped: tuple[Job, ...] = ()
    sheds: bool = False
    absorbed: bool = False
