"""Critical-window EDF: idles where starting now would make a job that is about to come late."""

from __future__ import annotations

from aegis_ros.analysis.critical_window import idle_until
from aegis_ros.errors import ConfigError
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.policy import TaskTiming

__all__ = ["CwEdf"]


class CwEdf:
    """Non-work-conserving EDF for periodic tasks (CW-EDF; Nasri & Fohler 2016).

    Before the first job in line starts, the next job of every other task is expected one period
    after its last, and the lane idles where :func:`~aegis_ros.analysis.critical_window.idle_until`
    says that one of them would be late for certain. What such tasks are promised is decided by
    following them through their cycle (:mod:`aegis_ros.analysis.periodic`).

    A lane stays taken for the whole budget of a segment even when it ends early, so that a run is
    never worse than one in which every job takes its budget: jobs start exactly when they would
    with full budgets.
    """

    __slots__ = ("_next_ns", "_taken_until_ns", "_tasks")
    observes = True
    fills = False

    def __init__(self) -> None:
        """Start without tasks."""
        self._tasks: dict[int, TaskTiming] = {}
        self._next_ns: dict[int, int] = {}
        self._taken_until_ns: dict[int, int] = {}

    def admit(self, task: TaskTiming) -> None:
        """Make a task known.

        Raises:
            ConfigError: it has no period, deadline or budget to look ahead with.
        """
        if not task.period_ns or not task.deadline_ns or not task.wcet_ns:
            raise ConfigError(
                "CW-EDF looks ahead and needs period, deadline and budget of every task",
                where=f"task {task.task_id}",
            )
        self._tasks[task.task_id] = task

    def forget(self, task_id: int) -> None:
        """Remove a task."""
        self._tasks.pop(task_id, None)
        self._next_ns.pop(task_id, None)

    def released(self, job: Job, now_ns: int) -> None:
        """Expect the next job one period after this one."""
        task = self._tasks.get(job.task_id)
        if task is not None:
            self._next_ns[job.task_id] = job.arrival_ns + task.period_ns

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Take the lane for the whole budget."""
        task = self._tasks.get(job.task_id)
        if task is not None:
            self._taken_until_ns[lane] = now_ns + task.wcet_ns[job.segment]

    def shedding(self, lane: int, on: bool) -> None:
        """Need nothing."""

    def priority(self, job: Job) -> int:
        """Return the absolute deadline."""
        return job.deadline_ns

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Return until when the lane idles for jobs that are about to come; 0 to start now."""
        taken = self._taken_until_ns.get(lane, 0)
        if taken > now_ns:
            return taken
        task = self._tasks.get(job.task_id)
        if task is None:
            return 0
        parts = task.wcet_ns
        next_ns = self._next_ns
        coming = [
            (at + other.deadline_ns, at, sum(other.wcet_ns))
            for key, other in self._tasks.items()
            if other.lane == lane
            and key != job.task_id
            and (at := next_ns.get(key, now_ns - 1)) >= now_ns
        ]
        return idle_until(
            now_ns, parts[job.segment], sum(parts[job.segment :]), job.deadline_ns, coming
        )
