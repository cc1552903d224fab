"""Drives the engine's own scheduler under a virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.scheduling import Job, Policy, Scheduler

__all__ = ["Arrival", "JobRecord", "simulate"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job to come: times in nanoseconds; ``execution_ns`` one entry a segment."""

    task: int
    arrival_ns: int
    ready_ns: int
    execution_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """What became of a job; ``response_ns`` counts from its arrival."""

    task: int
    seq: int
    arrival_ns: int
    started_ns: int
    finished_ns: int
    deadline_ns: int

    @property
    def response_ns(self) -> int:
        """Time from arrival to the end of execution."""
        return self.finished_ns - self.arrival_ns

    @property
    def missed(self) -> bool:
        """Whether it ended after its deadline."""
        return self.finished_ns > self.deadline_ns


def simulate(
    tasks: Sequence[AnalysisTask],
    arrivals: Sequence[Arrival],
    *,
    switch_ns: int = 0,
    policy: Policy | None = None,
    queue: int = 1_000_000,
) -> list[JobRecord]:
    """Run all arrivals on one lane; return the jobs in the order in which they ended.

    Args:
        tasks: deadlines and segment counts; ``Arrival.task`` indexes it.
        arrivals: in any order.
        switch_ns: added to every segment.
        policy: order of jobs; EDF if not given.
        queue: jobs of one task that may wait; a displaced job has no record.
    """
    scheduler = Scheduler(1, policy)
    for index, task in enumerate(tasks):
        scheduler.add_task(index, lane=0, segments=len(task.segments_ns), queue=queue)
    coming = [
        (arrival.ready_ns, arrival.task, number, arrival) for number, arrival in enumerate(arrivals)
    ]
    heapify(coming)
    records: list[JobRecord] = []
    sequence = [0] * len(tasks)
    now = 0
    busy_until: int | None = None
    started: dict[int, int] = {}
    wakes: list[int] = []
    while coming or busy_until is not None or wakes:
        if busy_until is not None and (not coming or busy_until <= coming[0][0]):
            now = busy_until
            busy_until = None
            ran = scheduler.running(0)
            assert ran is not None
            done = scheduler.segment_done(0, now)
            if done is not None:
                records.append(
                    JobRecord(
                        done.task_id,
                        done.seq,
                        done.arrival_ns,
                        started.pop(id(done)),
                        now,
                        done.deadline_ns,
                    )
                )
        elif coming and (not wakes or coming[0][0] <= wakes[0]):
            now = coming[0][0]
        else:
            now = heappop(wakes)
        # All that is ready at this very instant is known before anything starts.
        while coming and coming[0][0] <= now:
            arrival = heappop(coming)[3]
            job = Job(
                arrival.task,
                sequence[arrival.task],
                arrival.arrival_ns,
                arrival.arrival_ns + tasks[arrival.task].deadline_ns,
                payload=arrival.execution_ns,
            )
            sequence[arrival.task] += 1
            displaced = scheduler.release(job, now)
            if displaced is not None:
                started.pop(id(displaced), None)
        if busy_until is None:
            chosen = scheduler.dispatch(0, now)
            if chosen is not None:
                started.setdefault(id(chosen), now)
                execution: tuple[int, ...] = chosen.payload  # type: ignore[assignment]
                busy_until = now + execution[chosen.segment] + switch_ns
            elif scheduler.wake_ns(0):
                heappush(wakes, scheduler.wake_ns(0))
    return records
