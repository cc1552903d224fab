"""How much slower everything could be and still be on time."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.analysis.lane import is_schedulable
from aegis_ros.analysis.modes import passes_modes
from aegis_ros.analysis.task import AnalysisTask, by_promise, require_unique

__all__ = ["breakdown"]

_GRAIN = 10_000  # the factor is found in steps of 1 / _GRAIN
_MOST = 10**6 * _GRAIN


def breakdown(tasks: Sequence[AnalysisTask], switch_ns: int = 0) -> float:
    """Return the largest factor on all budgets with which a lane still passes.

    The utilization at that factor is the breakdown utilization (Lehoczky, Sha & Ding 1989). The
    factor is rounded down to 1/10,000 and budgets are rounded up, so that the answer is safe;
    switch costs stay as they are.

    Args:
        tasks: everything on one lane, at least one.
        switch_ns: cost of starting one segment.

    Returns:
        Below 1 for a set that fails as it is; 0 for one that fails with any budgets; a million
        where no task has a deadline to meet.

    Raises:
        ConfigError: two tasks have the same name.
    """
    require_unique(tasks)

    def passes(factor: int) -> bool:
        scaled = [_scaled(task, factor) for task in tasks]
        if any(task.high_segments_ns for task in scaled):
            return passes_modes(scaled, switch_ns=switch_ns)
        return is_schedulable(scaled, switch_ns=switch_ns)

    promised, _ = by_promise(tasks)
    # No job alone may be longer than its deadline.
    alone = (
        min(
            (task.deadline_ns - task.jitter_ns) * _GRAIN // task.at_high().work_ns
            for task in promised
        )
        if promised
        else _MOST
    )
    low, high = 0, min(alone, _MOST) + 1
    while high - low > 1:
        middle = (low + high) // 2
        if passes(middle):
            low = middle
        else:
            high = middle
    return low / _GRAIN


def _scaled(task: AnalysisTask, factor: int) -> AnalysisTask:
    return task.scaled(lambda part: -(-part * factor // _GRAIN))
