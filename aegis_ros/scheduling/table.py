"""Runs a static table: periodic tasks start at fixed places of a cycle, others fill the gaps."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aegis_ros.analysis.timetable import TimeTable
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
        start_ns: from the start of the cycle in which the job arrives; may lie beyond its end,
            where a deadline exceeds a period.
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
    where the table says, and not before. Every other task runs in EDF order in the gaps, and only
    where its next segment ends before the next place that is taken. So does a job of the table
    that missed its place: it never delays another.

    Args:
        slots: of each lane, in any order.
        cycle_ns: length of the cycle, for all lanes or for each.
        epoch_ns: when the first cycle starts.
    """

    __slots__ = ("_cycle_ns", "_epoch_ns", "_in_table", "_places", "_starts", "_tasks")
    observes = True
    idles = True
    reranks = True
    fills = True

    def __init__(
        self,
        slots: Mapping[int, Sequence[Slot]],
        cycle_ns: int | Mapping[int, int],
        epoch_ns: int = 0,
    ) -> None:
        """Sort the table.

        Raises:
            ConfigError: places overlap, from one cycle to the next too, or start before it.
        """
        self._cycle_ns = {
            lane: cycle_ns if isinstance(cycle_ns, int) else cycle_ns[lane] for lane in slots
        }
        self._epoch_ns = epoch_ns
        self._tasks: dict[int, TaskTiming] = {}
        self._places: dict[tuple[int, int, int], tuple[int, int]] = {}
        self._starts: dict[int, list[int]] = {}
        for lane, places in slots.items():
            cycle = self._cycle_ns[lane]
            taken = sorted((slot.start_ns % cycle, slot.end_ns - slot.start_ns) for slot in places)
            self._starts[lane] = [start for start, _ in taken]
            following = [*self._starts[lane][1:], *(start + cycle for start, _ in taken[:1])]
            for (start, length), after in zip(taken, following, strict=True):
                if start + length > after:
                    raise ConfigError(
                        "places in the table overlap", where=f"lane {lane}, {start} ns"
                    )
            for slot in places:
                if slot.start_ns < 0 or slot.end_ns <= slot.start_ns:
                    raise ConfigError(
                        "a place in the table starts before its cycle, or is empty",
                        where=f"lane {lane}, {slot.start_ns} ns",
                    )
                place = (slot.start_ns, slot.end_ns)
                self._places[slot.task_id, slot.job, slot.segment] = place
        self._in_table = {task_id for task_id, _, _ in self._places}

    @classmethod
    def of(
        cls, tables: Mapping[int, TimeTable], task_ids: Mapping[str, int], epoch_ns: int = 0
    ) -> Table:
        """Return the policy that runs tables which the analysis has made.

        Args:
            tables: of each lane.
            task_ids: of each task by its name.
            epoch_ns: when the first cycle starts.
        """
        slots = {
            lane: [
                Slot(task_ids[at.task], at.job, at.segment, at.start_ns, at.end_ns)
                for at in table.places
            ]
            for lane, table in tables.items()
        }
        return cls(slots, {lane: table.cycle_ns for lane, table in tables.items()}, epoch_ns)

    def admit(self, task: TaskTiming) -> None:
        """Make a task known; whether it has places in the table is the table's matter.

        Raises:
            ConfigError: it has no budget, or a place without a unique arrival.
        """
        if not all(task.plan.limit(step) for step in range(task.plan.steps)):
            raise ConfigError(
                "a table needs the budget of every task to keep its places free",
                where=f"task {task.task_id}",
            )
        if task.task_id in self._in_table and not task.jitter_ns < task.period_ns:
            raise ConfigError(
                "a task of the table needs a period, and jitter below it",
                where=f"task {task.task_id}",
                value=task.jitter_ns,
                expected=f"less than {task.period_ns} ns",
            )
        cycle = self._cycle_ns.get(task.lane, 0)
        if task.task_id in self._in_table and (not cycle or cycle % task.period_ns):
            raise ConfigError(
                "the cycle of a table is a multiple of the periods of its tasks",
                where=f"task {task.task_id}",
                value=task.period_ns,
                expected=f"a divisor of {cycle} ns",
            )
        self._tasks[task.task_id] = task

    def forget(self, task_id: int) -> None:
        """Remove a task; its places stay empty, and others may use them no more than before."""
        self._tasks.pop(task_id, None)

    def released(self, job: Job, now_ns: int) -> None:
        """Need nothing."""

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Need nothing."""

    def shedding(self, lane: int, on: bool) -> None:
        """Need nothing."""

    def priority(self, job: Job) -> int:
        """Return the start of its place, or its deadline behind all places."""
        place = self._place(job)
        return _BEHIND + job.deadline_ns if place is None else place[0]

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Return the start of its place, or the next gap that may hold it; 0 to start now."""
        place = self._place(job)
        # A lane's clock is never exact: within its own place a job may start a little late.
        if place is not None and now_ns < place[1]:
            return place[0] if place[0] > now_ns else 0
        task = self._tasks.get(job.task_id)
        starts = self._starts.get(lane)
        if task is None or not starts:
            return 0
        cycle = self._cycle_ns[lane]
        since = now_ns - self._epoch_ns
        base = since - since % cycle
        index = bisect_right(starts, since - base - 1)
        next_start = base + starts[index] if index < len(starts) else base + cycle + starts[0]
        if since + task.plan.limit(job.step) <= next_start:
            return 0
        return self._epoch_ns + next_start + 1

    def _place(self, job: Job) -> tuple[int, int] | None:
        """Return start and end of the job's place; ``None`` if it has none."""
        if job.task_id not in self._in_table:
            return None
        task = self._tasks.get(job.task_id)
        cycle = None if task is None else self._cycle_ns.get(task.lane)
        if task is None or cycle is None:
            return None
        # The arrival that a rate gate reports is up to one jitter early: never nearer to another.
        since = job.arrival_ns - self._epoch_ns
        number = (2 * since + task.jitter_ns + task.period_ns) // (2 * task.period_ns)
        in_cycle = cycle // task.period_ns
        place = self._places.get((job.task_id, number % in_cycle, job.step))
        if place is None:
            return None
        shift = self._epoch_ns + number // in_cycle * cycle
        return place[0] + shift, place[1] + shift
