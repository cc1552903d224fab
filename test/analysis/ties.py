"""A policy for what the bounds assume of ties."""

from __future__ import annotations

from aegis_ros.scheduling import Edf, Job

__all__ = ["LosesTies"]


class LosesTies(Edf):
    """EDF in which one task comes last among jobs due at the same time, as the bounds assume."""

    __slots__ = ("_task_id",)

    def __init__(self, task_id: int) -> None:
        self._task_id = task_id

    def priority(self, job: Job) -> int:
        return 2 * job.deadline_ns + (job.task_id == self._task_id)
