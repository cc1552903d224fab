"""Lanes that slow each other: how far work has come, and when it will end as things stand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

__all__ = ["Interference", "Slowdown"]

Slowdown = Callable[[int, int], float]
"""(task, task on another lane) -> factor, at least 1, on the time the first one takes meanwhile."""

_NEVER = 1 << 62
_FINEST = 1_000_000  # factors are taken as fractions with denominators up to this


class Interference:
    """Progress of what runs on each lane; factors of several other lanes multiply.

    Exact: progress is kept as a fraction, and only an end is rounded, up to whole nanoseconds. So
    work that takes C alone ends within ``ceil(C * factor)`` if no factor is larger than that.

    Args:
        lanes: number of lanes.
        slowdown: factor of each pair of tasks.
    """

    def __init__(self, lanes: int, slowdown: Slowdown) -> None:
        """Begin with idle lanes."""
        self._slowdown = slowdown
        self._task = [-1] * lanes
        self._left = [Fraction(0)] * lanes  # ns it still takes alone
        self._factor = [Fraction(1)] * lanes
        self._since = [0] * lanes
        self._known: dict[tuple[int, int], Fraction] = {}

    def started(self, lane: int, task: int, length_ns: int, now_ns: int) -> None:
        """Note that a lane begins work that takes ``length_ns`` alone."""
        self._task[lane] = task
        self._left[lane] = Fraction(length_ns)
        self._factor[lane] = Fraction(1)
        self._since[lane] = now_ns

    def ended(self, lane: int, now_ns: int) -> None:
        """Note that the work of a lane has ended."""
        self._task[lane] = -1

    def ends(self, now_ns: int) -> list[int]:
        """Return when the work of each lane ends if nothing else starts or ends before."""
        ends = []
        for lane, task in enumerate(self._task):
            if task < 0:
                ends.append(_NEVER)
                continue
            self._left[lane] -= (now_ns - self._since[lane]) / self._factor[lane]
            self._since[lane] = now_ns
            factor = Fraction(1)
            for other, beside in enumerate(self._task):
                if other != lane and beside >= 0:
                    factor *= self._factor_of(task, beside)
            self._factor[lane] = factor
            ends.append(now_ns - (-self._left[lane] * factor) // 1)
        return ends

    def _factor_of(self, task: int, beside: int) -> Fraction:
        known = self._known.get((task, beside))
        if known is None:
            known = Fraction(self._slowdown(task, beside)).limit_denominator(_FINEST)
            if known < 1:
                raise ValueError(f"task {task} beside {beside}: a factor of {float(known)}")
            self._known[task, beside] = known
        return known
