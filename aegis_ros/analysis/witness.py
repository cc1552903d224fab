"""The arrival pattern behind a failed demand test: the critical instant, as a schedule to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_ros.analysis.task import AnalysisTask, by_promise
from aegis_ros.rationale import Witness

__all__ = ["CriticalArrival", "witness_schedule"]

_MAX_ARRIVALS = 1_000_000


@dataclass(frozen=True, slots=True)
class CriticalArrival:
    """One job of the pattern; nanoseconds from the start of the blocking task's job."""

    task: str
    arrival_ns: int
    ready_ns: int


def witness_schedule(
    tasks: Sequence[AnalysisTask], witness: Witness, *, switch_ns: int = 0
) -> tuple[CriticalArrival, ...]:
    """Return the arrivals that make a job late within ``witness.t_ns``.

    The blocking task's longest segment begins one tick before the others come; everyone else
    becomes ready together, as late after its arrival as its jitter allows, and again as soon as
    its period allows (Jeffay, Stanat & Martel 1991). A run of this pattern in which every job
    takes its whole budget misses a deadline; the blocking one's longest segment takes all of its
    own, whatever is left for the others.

    Args:
        tasks: everything on the lane.
        witness: of the failed test.
        switch_ns: cost of starting one segment.

    Returns:
        In the order of the tasks; empty where it would be more than a million jobs.
    """
    start = 0
    arrivals: list[CriticalArrival] = []
    for task in tasks:
        if task.name == witness.blocking_task:
            longest = task.segments_ns.index(max(task.segments_ns))
            start = sum(task.execution_ns(longest)[:longest]) + switch_ns * longest + 1
            arrivals.append(CriticalArrival(task.name, 0, 0))
    promised, _ = by_promise(tasks)  # the others only come to run when all of this is over
    total = sum(
        max(0, (witness.t_ns - task.deadline_ns + task.jitter_ns) // task.period_ns + 1)
        for task in promised
    )
    if total > _MAX_ARRIVALS:
        return ()
    for task in promised:
        if task.name == witness.blocking_task:
            continue
        arrival = start - task.jitter_ns
        while arrival + task.deadline_ns <= start + witness.t_ns:
            arrivals.append(CriticalArrival(task.name, arrival, max(arrival, start)))
            arrival += task.period_ns
    return tuple(arrivals)
