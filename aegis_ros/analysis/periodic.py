"""Follows tasks that arrive periodically and in phase through a whole cycle of their schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from math import lcm

from aegis_ros.analysis.critical_window import idle_until
from aegis_ros.analysis.task import AnalysisTask

__all__ = ["MAX_PLACES", "Followed", "Place", "cycle_ns", "follow", "places_in"]

MAX_PLACES = 100_000  # segments that are followed before there is no answer
_MAX_CYCLE_NS = 2**60


@dataclass(frozen=True, slots=True)
class Place:
    """When one segment runs, from the start of the cycle in which its job arrives; nanoseconds.

    Attributes:
        task: name of the task.
        job: which job of the task within the cycle, from 0.
        segment: which segment of it.
        start_ns: may lie beyond the end of the cycle, where a deadline exceeds a period.
        end_ns: start plus the segment's budget, switch included.
    """

    task: str
    job: int
    segment: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of the tasks.

    Attributes:
        cycle_ns: least common multiple of the periods.
        places: of every job that arrives in one cycle; empty after a miss.
        worst_ns: longest response time of each task, arrival to end, from the first cycle on.
        late: name of the task of the first job that was late; empty for none.
        late_arrival_ns, late_end_ns: of that job.
    """

    cycle_ns: int
    places: tuple[Place, ...]
    worst_ns: tuple[int, ...]
    late: str = ""
    late_arrival_ns: int = 0
    late_end_ns: int = 0


def cycle_ns(tasks: Sequence[AnalysisTask]) -> int | None:
    """Return the least common multiple of the periods; None if it is out of range."""
    result = 1
    for task in tasks:
        result = lcm(result, task.period_ns)
        if result > _MAX_CYCLE_NS:
            return None
    return result


def places_in(tasks: Sequence[AnalysisTask], cycle: int) -> int:
    """Return how many segments all tasks run in one cycle."""
    return sum(cycle // task.period_ns * len(task.segments_ns) for task in tasks)


def follow(
    tasks: Sequence[AnalysisTask], *, switch_ns: int = 0, limit: int = MAX_PLACES
) -> Followed | None:
    """Run CW-EDF with full budgets until the schedule repeats, or a job is late.

    The k-th job of every task arrives at ``k T`` and becomes ready at ``k T + J``. Without
    jitter this is what :class:`~aegis_ros.scheduling.cw_edf.CwEdf` does with such arrivals.
    Where nothing has to idle, it is EDF.

    Args:
        tasks: everything on the lane.
        switch_ns: cost of starting one segment.
        limit: of segments to follow.

    Returns:
        ``None`` when the schedule did not repeat within the limit.
    """
    cycle = cycle_ns(tasks)
    if cycle is None or places_in(tasks, cycle) > limit:
        return None
    return _Run(tasks, switch_ns, cycle).follow(limit)


class _Run:
    """State of one run; job numbers count from the start of the first cycle."""

    def __init__(self, tasks: Sequence[AnalysisTask], switch_ns: int, cycle: int) -> None:
        self.tasks = tasks
        self.cycle = cycle
        self.parts = [tuple(part + switch_ns for part in task.segments_ns) for task in tasks]
        self.wcet = [sum(parts) for parts in self.parts]
        self.per_cycle = [cycle // task.period_ns for task in tasks]
        self.places: dict[tuple[int, int, int], tuple[int, int]] = {}
        self.worst = [0] * len(tasks)
        # (ready, task, number) of every task's next job
        self.coming = [(task.jitter_ns, index, 0) for index, task in enumerate(tasks)]
        heapify(self.coming)
        # (deadline, ready, task, number, segment): the order of the scheduler
        self.ready: list[tuple[int, int, int, int, int]] = []

    def follow(self, limit: int) -> Followed | None:
        now = 0
        cycles = 0
        before: tuple[int, object] = (-2, None)
        while len(self.places) <= limit:
            if not self.ready:
                now = max(now, self.coming[0][0])
            self._release(now)
            if now >= cycles * self.cycle:
                cycles = now // self.cycle
                state = self._state(now, cycles)
                if (cycles - 1, state) == before:
                    return self._repeats(cycles - 1)
                before = (cycles, state)
                cycles += 1
            deadline, ready, index, number, segment = self.ready[0]
            need = self.parts[index][segment]
            end = now + need
            if self.coming[0][0] < end:
                wake = self._idle_until(now, index, segment, deadline)
                if wake:
                    now = wake
                    continue
            heappop(self.ready)
            self.places[index, number, segment] = (now, end)
            if segment + 1 < len(self.parts[index]):
                heappush(self.ready, (deadline, ready, index, number, segment + 1))
            else:
                arrival = number * self.tasks[index].period_ns
                self.worst[index] = max(self.worst[index], end - arrival)
                if end > deadline:
                    return Followed(
                        self.cycle, (), tuple(self.worst), self.tasks[index].name, arrival, end
                    )
            now = end
        return None

    def _release(self, now: int) -> None:
        while self.coming[0][0] <= now:
            ready, index, number = self.coming[0]
            task = self.tasks[index]
            arrival = number * task.period_ns
            heappush(self.ready, (arrival + task.deadline_ns, ready, index, number, 0))
            heapreplace(self.coming, (ready + task.period_ns, index, number + 1))

    def _idle_until(self, now: int, index: int, segment: int, deadline: int) -> int:
        parts = self.parts[index]
        coming = [
            (at - self.tasks[other].jitter_ns + self.tasks[other].deadline_ns, at, self.wcet[other])
            for at, other, _ in self.coming
            if other != index
        ]
        return idle_until(
            now,
            need_ns=parts[segment],
            rest_ns=sum(parts[segment:]),
            deadline_ns=deadline,
            coming=coming,
        )

    def _state(self, now: int, cycles: int) -> object:
        """Return all that what follows depends on, relative to the start of the cycle."""
        start = cycles * self.cycle
        return (
            now - start,
            sorted(
                (deadline - start, ready - start, index, number - cycles * self.per_cycle[index], s)
                for deadline, ready, index, number, s in self.ready
            ),
        )

    def _repeats(self, cycle: int) -> Followed:
        """Return the places of jobs that arrive in a cycle whose end is like its start."""
        places = []
        for index, task in enumerate(self.tasks):
            count = self.per_cycle[index]
            for job in range(count):
                for segment in range(len(self.parts[index])):
                    at, shift = (index, cycle * count + job, segment), cycle * self.cycle
                    if at not in self.places:  # beyond the end: as it was one cycle before
                        at, shift = (index, at[1] - count, segment), shift - self.cycle
                    start, end = self.places[at]
                    places.append(Place(task.name, job, segment, start - shift, end - shift))
        return Followed(self.cycle, tuple(places), tuple(self.worst))
