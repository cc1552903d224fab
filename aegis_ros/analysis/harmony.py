"""Finds periods near given ones that have a short common cycle."""

from __future__ import annotations

from collections.abc import Sequence
from math import lcm

__all__ = ["near_periods"]

_CHANGES = (0.01, 0.05)  # of a period; more would be another task
_GRAINS_NS = (1_000_000, 100_000, 10_000, 1_000)  # rounder figures first
_MOST_JOBS = 100  # of the slowest task in a cycle


def near_periods(periods_ns: Sequence[int]) -> tuple[int, ...] | None:
    """Return periods near those given that have a short common cycle.

    The cycle is the shortest in which no period changes by more than a hundredth, or else by more
    than a twentieth. Periods are multiples of the coarsest of 1, 0.1, 0.01 and 0.001 ms that
    allows this.

    Args:
        periods_ns: at least one, nanoseconds, each > 0.

    Returns:
        One for each, in their order; ``None`` where there are none so near within 100 jobs of the
        slowest task.
    """
    slowest = max(periods_ns)
    for change in _CHANGES:
        for jobs in range(1, _MOST_JOBS + 1):
            counts = [max(1, round(jobs * slowest / period)) for period in periods_ns]
            cycle = _cycle(counts, periods_ns, change)
            if cycle is not None:
                return tuple(cycle // count for count in counts)
    return None


def _cycle(counts: Sequence[int], periods_ns: Sequence[int], change: float) -> int | None:
    """Return a cycle in which each task has its count of jobs and its period changes little."""
    lengths = [count * period for count, period in zip(counts, periods_ns, strict=True)]
    best = (min(lengths) + max(lengths)) // 2  # the largest change is least there
    if max(lengths) - best > change * best:
        return None
    parts = lcm(*counts)
    for grain in _GRAINS_NS:
        cycle = round(best / (parts * grain)) * parts * grain
        if all(abs(cycle - length) <= change * length for length in lengths):
            return cycle
    return None
