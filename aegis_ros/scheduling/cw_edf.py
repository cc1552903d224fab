"""Critical-window EDF: idles where starting now would make a job that is about to come late."""

from __future__ import annotations

from bisect import bisect_left, insort

from aegis_ros.analysis.critical_window import idle_until
from aegis_ros.errors import ConfigError
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.policy import TaskTiming
from aegis_ros.spec import Criticality

__all__ = ["CwEdf"]

_Entry = tuple[int, int, int, int]  # deadline, arrival, budget and task of a job to come


class CwEdf:
    """Non-work-conserving EDF for periodic tasks (CW-EDF; Nasri & Fohler 2016).

    Before the first job in line starts, the next job of every other task is expected one period
    after its last, and the lane idles where :func:`~aegis_ros.analysis.critical_window.idle_until`
    says that one of them would be late for certain. What such tasks are promised is decided by
    following them through their cycle (:mod:`aegis_ros.analysis.periodic`).

    A lane stays taken for the whole budget of a step even when it ends early, so that a run is
    never worse than one in which every job takes its budget: jobs start exactly when they would
    with full budgets. Jobs of best effort run where nothing else is ready; nobody idles for them,
    and they do not idle for others, so that they may be there only where idling is not needed.
    """

    __slots__ = ("_coming", "_expected", "_need", "_taken_until_ns", "_tasks", "_total_ns")
    observes = True
    idles = True
    reranks = False
    fills = False

    def __init__(self) -> None:
        """Start without tasks."""
        self._tasks: dict[int, TaskTiming] = {}
        self._need: dict[int, int] = {}
        self._total_ns: dict[int, int] = {}
        self._expected: dict[int, _Entry] = {}
        self._coming: dict[int, list[_Entry]] = {}  # of each lane, by deadline
        self._taken_until_ns: dict[int, int] = {}

    def admit(self, task: TaskTiming) -> None:
        """Make a task known.

        Raises:
            ConfigError: it has no period, deadline or budget to look ahead with.
        """
        need = task.plan.remaining_ns(task.plan.first())
        if not task.period_ns or not task.deadline_ns or not need:
            raise ConfigError(
                "CW-EDF looks ahead and needs period, deadline and budget of every task",
                where=f"task {task.task_id}",
            )
        self._tasks[task.task_id] = task
        if task.criticality is Criticality.BEST_EFFORT:  # nobody idles for it
            return
        self._need[task.task_id] = need
        self._total_ns[task.lane] = self._total_ns.get(task.lane, 0) + need
        self._coming.setdefault(task.lane, [])

    def forget(self, task_id: int) -> None:
        """Remove a task."""
        task = self._tasks.pop(task_id, None)
        if task is not None and task_id in self._need:
            self._total_ns[task.lane] -= self._need.pop(task_id)
            self._take_back(task)

    def released(self, job: Job, now_ns: int) -> None:
        """Expect the next job one period after this one."""
        task = self._tasks.get(job.task_id)
        if task is None or job.task_id not in self._need:
            return
        self._take_back(task)
        at = job.arrival_ns + task.period_ns
        entry = (at + task.deadline_ns, at, self._need[job.task_id], job.task_id)
        self._expected[job.task_id] = entry
        insort(self._coming[task.lane], entry)

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Take the lane for the whole budget of the step."""
        task = self._tasks.get(job.task_id)
        if task is not None:
            self._taken_until_ns[lane] = now_ns + task.plan.limit(job.step)

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
        task_id = job.task_id
        task = self._tasks.get(task_id)
        if task is None or task_id not in self._need:
            return 0
        part_ns = task.plan.limit(job.step)
        end = now_ns + part_ns
        packed = end + self._total_ns[lane]
        until = end  # everything that comes, and is due by then, one after the other
        for due, at, need, key in self._coming[lane]:
            if packed <= due:  # nor can anything that is due later be in danger
                return 0
            if at >= now_ns and key != task_id:
                until += need
                if until > due:
                    break
        else:
            return 0
        coming = [
            (due, at, need)
            for due, at, need, key in self._coming[lane]
            if at >= now_ns and key != task_id
        ]
        return idle_until(
            now_ns,
            need_ns=part_ns,
            rest_ns=task.plan.remaining_ns(job.step),
            deadline_ns=job.deadline_ns,
            coming=coming,
        )

    def _take_back(self, task: TaskTiming) -> None:
        """Expect nothing more of a task."""
        entry = self._expected.pop(task.task_id, None)
        if entry is not None:
            coming = self._coming[task.lane]
            del coming[bisect_left(coming, entry)]
