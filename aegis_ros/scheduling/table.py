"""Runs a static table: periodic tasks start at fixed places of a cycle, others fill the gaps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aegis_ros.errors import ConfigError
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.policy import TaskTiming

__all__ = ["Slot", "Table"]

_BEHIND = 1 << 62  # jobs without a place in the table come after those that have one


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in the table.

    Attributes:
        task_id: whose segment starts here.
        job: which job of the task within the cycle, from 0.
        segment: which segment of it.
        start_ns: from the start of the cycle.
        end_ns: start plus the segment's budget.
    """

    task_id: int
    job: int
    segment: int
    start_ns: int
    end_ns: int


class Table:
    """Time-triggered execution, cycle after cycle (cyclic executive).

    A task of the table arrives strictly periodically from ``epoch_ns`` on; its k-th job starts
    where the table says. Every other task runs in EDF order in the gaps, and only where its next
    segment ends before the next place that is taken.

    Args:
        slots: of each lane, in any order.
        cycle_ns: length of the cycle.
        epoch_ns: when the first cycle starts.
    """

    __slots__ = ("_cycle_ns", "_epoch_ns", "_places", "_starts", "_tasks")
    observes = True
    fills = True

    def __init__(
        self, slots: Mapping[int, Sequence[Slot]], cycle_ns: int, epoch_ns: int = 0
    ) -> None:
        """Sort the table.

        Raises:
            ConfigError: places overlap or lie outside the cycle.
        """
        self._cycle_ns = cycle_ns
        self._epoch_ns = epoch_ns
        self._tasks: dict[int, TaskTiming] = {}
        self._places: dict[tuple[int, int, int], int] = {}
        self._starts: dict[int, list[int]] = {}
        for lane, places in slots.items():
            end = 0
            for slot in sorted(places, key=lambda item: item.start_ns):
                if slot.start_ns < end or slot.end_ns > cycle_ns:
                    raise ConfigError(
                        "places in the table overlap or lie outside its cycle",
                        where=f"lane {lane}, {slot.start_ns} ns",
                    )
                end = slot.end_ns
                self._places[slot.task_id, slot.job, slot.segment] = slot.start_ns
                self._starts.setdefault(lane, []).append(slot.start_ns)

    def admit(self, task: TaskTiming) -> None:
        """Make a task known; whether it has places in the table is the table's matter."""
        self._tasks[task.task_id] = task

    def forget(self, task_id: int) -> None:
        """Remove a task; its places stay empty, and others may use them no more than before."""
        self._tasks.pop(task_id, None)

    def released(self, job: Job, now_ns: int) -> None:
        """Need nothing."""

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Need nothing."""

    def priority(self, job: Job) -> int:
        """Return the start of its place, or its deadline behind all places."""
        place = self._place(job)
        return _BEHIND + job.deadline_ns if place is None else place

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Return the start of its place, or the next gap that may hold it; 0 to start now."""
        place = self._place(job)
        if place is not None:
            return place if place > now_ns else 0
        task = self._tasks.get(job.task_id)
        starts = self._starts.get(lane)
        if task is None or not task.wcet_ns or not starts:
            return 0
        since = now_ns - self._epoch_ns
        base = since - since % self._cycle_ns
        index = bisect_right(starts, since - base - 1)
        next_start = (
            base + starts[index] if index < len(starts) else base + self._cycle_ns + starts[0]
        )
        if since + task.wcet_ns[job.segment] <= next_start:
            return 0
        return self._epoch_ns + next_start + 1

    def _place(self, job: Job) -> int | None:
        task = self._tasks.get(job.task_id)
        if task is None or not task.period_ns:
            return None
        in_cycle = self._cycle_ns // task.period_ns
        if in_cycle == 0:
            return None
        number = round((job.arrival_ns - self._epoch_ns) / task.period_ns)
        start = self._places.get((job.task_id, number % in_cycle, job.segment))
        if start is None:
            return None
        return self._epoch_ns + number // in_cycle * self._cycle_ns + start
