"""EDF that lets what may overrun end early, so that there is time left when it does."""

from __future__ import annotations

from collections.abc import Mapping

from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.policy import TaskTiming

__all__ = ["VirtualDeadlines"]


class VirtualDeadlines:
    """EDF with virtual deadlines (EDF-VD; Baruah et al. 2012).

    While nothing exceeds its low budget, tasks of high criticality are ordered by earlier, virtual
    deadlines; while the lane sheds, by their own.

    Args:
        virtual_ns: relative virtual deadline by task id; a task without one keeps its own.
    """

    __slots__ = ("_shedding", "_tasks", "_virtual_ns")
    observes = True
    idles = False
    reranks = True
    fills = False

    def __init__(self, virtual_ns: Mapping[int, int]) -> None:
        """Start with no lane shedding."""
        self._virtual_ns = dict(virtual_ns)
        self._tasks: dict[int, TaskTiming] = {}
        self._shedding: set[int] = set()

    def admit(self, task: TaskTiming) -> None:
        """Remember on which lane it is."""
        self._tasks[task.task_id] = task

    def forget(self, task_id: int) -> None:
        """Remove a task."""
        self._tasks.pop(task_id, None)

    def released(self, job: Job, now_ns: int) -> None:
        """Need nothing."""

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Need nothing."""

    def shedding(self, lane: int, on: bool) -> None:
        """Change between virtual deadlines and real ones."""
        if on:
            self._shedding.add(lane)
        else:
            self._shedding.discard(lane)

    def priority(self, job: Job) -> int:
        """Return the absolute deadline that counts now."""
        virtual = self._virtual_ns.get(job.task_id)
        if virtual is None or self._tasks[job.task_id].lane in self._shedding:
            return job.deadline_ns
        return job.arrival_ns + virtual

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Never idle while a job is ready."""
        return 0
