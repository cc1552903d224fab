"""Arrival patterns and execution times for the simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.analysis.witness import witness_schedule
from aegis_ros.rationale import Witness
from aegis_ros.scheduling import RateGate
from aegis_ros.simulation.workload import Workload

__all__ = [
    "bursty_arrivals",
    "critical_arrivals",
    "periodic_arrivals",
    "sporadic_arrivals",
    "traced_arrivals",
]

_Array = npt.NDArray[np.int64]
_Times = tuple[_Array, _Array]
Samples = Mapping[str, npt.NDArray[np.int64]]


def periodic_arrivals(
    tasks: Sequence[AnalysisTask],
    until_ns: int,
    offsets_ns: Sequence[int] | None = None,
    *,
    samples_ns: Samples | None = None,
    generator: np.random.Generator | None = None,
) -> Workload:
    """Return strictly periodic arrivals without jitter.

    Args:
        tasks: who arrives.
        until_ns: last arrival, exclusive.
        offsets_ns: first arrival of each task; 0 if not given.
        samples_ns: measured execution times by task name, int64 [runs, segments], to draw from
            with ``generator``; a task without any takes its budget.
        generator: source of chance, needed with samples.
    """
    offsets = offsets_ns if offsets_ns is not None else [0] * len(tasks)
    times: list[_Times] = []
    for task, offset in zip(tasks, offsets, strict=True):
        arrival = np.arange(offset, until_ns, task.period_ns, dtype=np.int64)
        times.append((arrival, arrival))
    return _join(tasks, times, _executions(tasks, times, samples_ns, generator))


def sporadic_arrivals(
    tasks: Sequence[AnalysisTask],
    until_ns: int,
    generator: np.random.Generator,
    *,
    samples_ns: Samples | None = None,
    shortest: float = 0.0,
) -> Workload:
    """Return random arrivals that keep period and jitter, with execution up to the budget.

    One half of the tasks comes as often as it may, the other with random gaps; three of four jobs
    take their whole budget.

    Args:
        tasks: who arrives.
        until_ns: last arrival, exclusive.
        generator: source of chance.
        samples_ns: as in :func:`periodic_arrivals`; otherwise execution is drawn between
            ``shortest`` and 1 times the budget.
        shortest: smallest fraction of a budget that is drawn.
    """
    times: list[_Times] = []
    drawn: list[list[tuple[int, ...]]] = []
    for task in tasks:
        count = max(0, until_ns) // task.period_ns + 1
        gaps = np.full(count, task.period_ns, np.int64)
        if generator.integers(0, 2):
            gaps += generator.integers(0, task.period_ns // 2 + 1, count)
        first = int(generator.integers(0, task.period_ns + 1))
        arrival = first + np.cumsum(gaps) - gaps[0]
        arrival = arrival[arrival < until_ns]
        delay = generator.integers(0, task.jitter_ns + 1, arrival.size)
        ready = np.maximum.accumulate(arrival + delay) if arrival.size else arrival
        times.append((arrival, ready))
        share = np.where(
            generator.random(arrival.size) < 0.75,
            1.0,
            generator.uniform(shortest, 1.0, arrival.size),
        )
        parts = _whole_budgets(task, arrival.size, generator)
        scaled = np.where(
            share[:, None] >= 1.0,
            parts,
            np.minimum(parts, np.maximum(1, (parts * share[:, None]).astype(np.int64))),
        )
        drawn.append([tuple(row) for row in scaled.tolist()])
    if samples_ns is not None:
        drawn = _executions(tasks, times, samples_ns, generator)
    return _join(tasks, times, drawn)


def bursty_arrivals(tasks: Sequence[AnalysisTask], until_ns: int) -> Workload:
    """Return the densest stream jitter allows: late at first, and punctual from then on.

    All first jobs become ready together, a full jitter after their arrival, and those that arrived
    meanwhile with them.
    """
    times: list[_Times] = []
    together = max((task.jitter_ns for task in tasks), default=0)
    for task in tasks:
        arrival = np.arange(together - task.jitter_ns, until_ns, task.period_ns, dtype=np.int64)
        times.append((arrival, np.maximum(arrival, together)))
    return _join(tasks, times, _executions(tasks, times, None, None))


def traced_arrivals(
    tasks: Sequence[AnalysisTask], received_ns: Mapping[str, Sequence[int]]
) -> Workload:
    """Return recorded arrivals, held to each task's contract by its rate gate.

    Args:
        tasks: who arrives; one that is not in the record does not.
        received_ns: times of reception of each task, increasing; frames are ready at once.
    """
    times: list[_Times] = []
    for task in tasks:
        gate = RateGate(task.period_ns, task.jitter_ns)
        arrival: list[int] = []
        ready: list[int] = []
        for received in received_ns.get(task.name, ()):
            if gate.accept(received):
                arrival.append(gate.settle(received, received))
                ready.append(received)
        times.append((np.array(arrival, np.int64), np.array(ready, np.int64)))
    return _join(tasks, times, _executions(tasks, times, None, None))


def critical_arrivals(
    tasks: Sequence[AnalysisTask], witness: Witness, *, switch_ns: int = 0
) -> Workload:
    """Return the pattern behind a failed demand test, see :func:`witness_schedule`."""
    pattern = witness_schedule(tasks, witness, switch_ns=switch_ns)
    times: list[_Times] = []
    for task in tasks:
        own = [item for item in pattern if item.task == task.name]
        times.append(
            (
                np.array([item.arrival_ns for item in own], np.int64),
                np.array([item.ready_ns for item in own], np.int64),
            )
        )
    drawn = _executions(tasks, times, None, None)
    for index, task in enumerate(tasks):
        if task.name == witness.blocking_task:  # as the pattern has it
            longest = task.segments_ns.index(max(task.segments_ns))
            drawn[index] = [task.execution_ns(longest)] * len(drawn[index])
    return _join(tasks, times, drawn)


def _whole_budgets(task: AnalysisTask, jobs: int, generator: np.random.Generator) -> _Array:
    """Return jobs that take their whole budgets, int64 [jobs, segments].

    Where a job has less than the sum of its segments, it is at the front, at the back, or at
    segments drawn by chance.
    """
    if task.work_ns == sum(task.segments_ns):
        return np.tile(np.array(task.segments_ns, np.int64), (jobs, 1))
    count = len(task.segments_ns)
    orders = [list(range(count)), list(range(count))[::-1]]
    orders += [generator.permutation(count).tolist() for _ in range(count)]
    rows = np.array([task.execution_ns(*order) for order in orders], np.int64)
    return rows[generator.integers(0, len(orders), jobs)]


def _executions(
    tasks: Sequence[AnalysisTask],
    times: Sequence[_Times],
    samples_ns: Samples | None,
    generator: np.random.Generator | None,
) -> list[list[tuple[int, ...]]]:
    result: list[list[tuple[int, ...]]] = []
    for task, (arrival, _) in zip(tasks, times, strict=True):
        samples = (samples_ns or {}).get(task.name)
        if samples is None or generator is None:
            result.append([task.execution_ns()] * arrival.size)
        else:
            rows = samples[generator.integers(0, samples.shape[0], arrival.size)]
            result.append([tuple(row) for row in rows.tolist()])
    return result


def _join(
    tasks: Sequence[AnalysisTask],
    times: Sequence[_Times],
    executions: Sequence[Sequence[tuple[int, ...]]],
) -> Workload:
    none = [np.zeros(0, np.int64)]
    owner = [np.full(arrival.size, index, np.int64) for index, (arrival, _) in enumerate(times)]
    return Workload.of(
        np.concatenate(owner + none),
        np.concatenate([arrival for arrival, _ in times] + none),
        np.concatenate([ready for _, ready in times] + none),
        [parts for own in executions for parts in own],
    )
