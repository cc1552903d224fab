"""Random task sets for the studies: UUniFast utilizations, log-uniform periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis import AnalysisTask

__all__ = ["network_set", "scaled_set", "split", "uunifast"]

_US = 1_000
_MS = 1_000_000
# Periods whose common multiple is short, so that tables and whole hyperperiods can be had.
_HARMONIC_MS = (10, 20, 25, 40, 50, 100, 200)


def uunifast(
    count: int, utilization: float, generator: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return utilizations that are uniform among all with this sum (Bini & Buttazzo 2005).

    Returns:
        float64 [count].
    """
    left = utilization
    shares = np.empty(count)
    for index in range(count - 1):
        following = left * generator.random() ** (1.0 / (count - 1 - index))
        shares[index] = left - following
        left = following
    shares[-1] = left
    return shares


def network_set(
    count: int,
    utilization: float,
    generator: np.random.Generator,
    *,
    segments: int = 1,
    deadlines: tuple[float, float] = (0.8, 1.5),
    longest_ms: float = 1000.0,
) -> list[AnalysisTask]:
    """Return tasks as a robot has them: 10 ms to a second, deadlines around the period, jitter.

    Args:
        count: number of tasks.
        utilization: sum of budgets over periods; met within a microsecond a task.
        generator: source of chance.
        segments: equal segments of each network.
        deadlines: range of deadline over period.
        longest_ms: longest period.
    """
    tasks = []
    for index, share in enumerate(uunifast(count, utilization, generator)):
        period = int(np.exp(generator.uniform(np.log(10.0), np.log(longest_ms))) * 1000) * _US
        part = max(_US, int(share * period) // segments)
        jitter = int(generator.uniform(0.0, 2.0) * _MS)
        least = part * segments + jitter
        tasks.append(
            AnalysisTask(
                f"task{index}",
                (part,) * segments,
                period,
                max(least, int(period * generator.uniform(*deadlines))),
                jitter,
            )
        )
    return tasks


def scaled_set(
    count: int, utilization: float, generator: np.random.Generator
) -> list[AnalysisTask]:
    """Return tasks of one segment without jitter, with deadlines at the period.

    The periods divide 200 ms, so that one hyperperiod is short enough for a static table.
    """
    periods = generator.choice(_HARMONIC_MS, count) * _MS
    return [
        AnalysisTask(f"task{index}", (max(1, int(share * period)),), int(period), int(period))
        for index, (share, period) in enumerate(
            zip(uunifast(count, utilization, generator), periods.tolist(), strict=True)
        )
    ]


def split(tasks: Sequence[AnalysisTask], parts: int) -> list[AnalysisTask]:
    """Return the same tasks with each network cut into ``parts`` equal segments."""
    result = []
    for task in tasks:
        total = sum(task.segments_ns)
        even, rest = divmod(total, parts)
        pieces = tuple(even + (index < rest) for index in range(parts))
        result.append(replace(task, segments_ns=tuple(piece for piece in pieces if piece)))
    return result
