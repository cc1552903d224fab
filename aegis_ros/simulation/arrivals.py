"""Arrival patterns for the simulator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.rationale import Witness
from aegis_ros.simulation.simulator import Arrival

__all__ = ["critical_arrivals", "periodic_arrivals", "sporadic_arrivals"]


def periodic_arrivals(
    tasks: Sequence[AnalysisTask], until_ns: int, offsets_ns: Sequence[int] | None = None
) -> list[Arrival]:
    """Return strictly periodic arrivals at the full budget, without jitter."""
    offsets = offsets_ns if offsets_ns is not None else [0] * len(tasks)
    return [
        Arrival(index, arrival, arrival, task.segments_ns)
        for index, task in enumerate(tasks)
        for arrival in range(offsets[index], until_ns, task.period_ns)
    ]


def sporadic_arrivals(
    tasks: Sequence[AnalysisTask], until_ns: int, generator: np.random.Generator
) -> list[Arrival]:
    """Return random arrivals that keep period and jitter, with execution up to the budget."""
    arrivals = []
    for index, task in enumerate(tasks):
        arrival = int(generator.integers(0, task.period_ns + 1))
        tight = bool(generator.integers(0, 2))
        ready_before = -1
        while arrival < until_ns:
            jitter = int(generator.integers(0, task.jitter_ns + 1))
            ready = max(arrival + jitter, ready_before)
            share = 1.0 if generator.integers(0, 4) else float(generator.random())
            execution = tuple(max(1, int(part * share)) for part in task.segments_ns)
            arrivals.append(Arrival(index, arrival, ready, execution))
            ready_before = ready
            gap = 0 if tight else int(generator.integers(0, task.period_ns // 2 + 1))
            arrival += task.period_ns + gap
    return arrivals


def critical_arrivals(tasks: Sequence[AnalysisTask], witness: Witness) -> list[Arrival]:
    """Return the pattern behind a failed demand test of a lane.

    The blocking task begins one tick before the others; everyone else arrives together, as early
    as their jitter allows, and again as soon as their period allows (Jeffay, Stanat & Martel 1991).
    """
    arrivals = []
    for index, task in enumerate(tasks):
        if task.name == witness.blocking_task:
            arrivals.append(Arrival(index, 0, 0, task.segments_ns))
            continue
        arrival = 1 - task.jitter_ns
        while arrival + task.deadline_ns <= 1 + witness.t_ns:
            ready = max(arrival, 1)
            arrivals.append(Arrival(index, arrival, ready, task.segments_ns))
            arrival += task.period_ns
    return arrivals
