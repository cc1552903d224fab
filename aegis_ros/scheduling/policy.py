"""Policies: in which order ready jobs run, and when a lane idles on purpose."""

from __future__ import annotations

from typing import Protocol

from aegis_ros.scheduling.job import Job

__all__ = ["Edf", "Policy"]


class Policy(Protocol):
    """What a scheduler asks about every job.

    ``priority`` is asked once, when a job is released; ``hold_until`` each time the lane is idle
    and this job is the first in line.
    """

    def priority(self, job: Job) -> int:
        """Return the job's rank; the smallest runs first."""
        ...

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Return 0 to start ``job`` now, or the time until which the lane must stay idle."""
        ...


class Edf:
    """Earliest deadline first, work-conserving (Liu & Layland 1973)."""

    __slots__ = ()

    def priority(self, job: Job) -> int:
        """Return the absolute deadline."""
        return job.deadline_ns

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Never idle while a job is ready."""
        return 0
