"""Demand bound of a lane and its testing set, in exact integers.

``h(t)`` is the most execution that jobs ready and due within any interval of length t can ask for
(Baruah, Mok & Rosier 1990; with release jitter Spuri 1996); ``B(t)`` the longest segment of a job
due later that may just have begun (Jeffay, Stanat & Martel 1991; Baruah 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.task import AnalysisTask

__all__ = ["MAX_POINTS", "DemandCurve", "LaneLoad", "demand_at", "qpa"]

MAX_POINTS = 2_000_000
_MAX_FIXPOINT_STEPS = 10_000

_Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DemandCurve:
    """h and B at the steps of h.

    Attributes:
        t_ns: int64 [P], increasing interval lengths.
        demand_ns: int64 [P], h(t).
        blocking_ns: int64 [P], B(t).
        complete: False when there were more than ``MAX_POINTS`` steps.
    """

    t_ns: _Array
    demand_ns: _Array
    blocking_ns: _Array
    complete: bool

    @property
    def slack_ns(self) -> _Array:
        """``t - h(t) - B(t)``, int64 [P]."""
        slack: _Array = self.t_ns - self.demand_ns - self.blocking_ns
        return slack


class LaneLoad:
    """The tasks of one lane as arrays of int64 nanoseconds.

    Args:
        tasks: at least one.
        switch_ns: charged to every segment.
    """

    def __init__(self, tasks: Sequence[AnalysisTask], switch_ns: int = 0) -> None:
        """Keep budgets ``c``, periods ``t``, deadlines ``d``, jitters ``j``, segments ``q``."""
        self.tasks = tuple(tasks)
        self.c = np.array([task.wcet_ns(switch_ns) for task in tasks], np.int64)
        self.t = np.array([task.period_ns for task in tasks], np.int64)
        self.d = np.array([task.deadline_ns for task in tasks], np.int64)
        self.j = np.array([task.jitter_ns for task in tasks], np.int64)
        self.q = np.array([task.longest_ns(switch_ns) for task in tasks], np.int64)
        self.first = self.d - self.j  # first step of h of each task

    @property
    def utilization(self) -> float:
        """Sum of budgets over periods, rounded to float."""
        return float(np.sum(self.c / self.t))

    def overloaded(self) -> bool:
        """Whether the utilization is above 1, exactly."""
        return self.compare_to_one() > 0

    def compare_to_one(self) -> int:
        """Return the sign of (utilization - 1), decided in fractions when floats cannot."""
        value = self.utilization
        if abs(value - 1.0) > 1e-9:
            return 1 if value > 1.0 else -1
        exact = sum(
            (Fraction(int(c), int(t)) for c, t in zip(self.c, self.t, strict=True)), Fraction(0)
        )
        return (exact > 1) - (exact < 1)

    def busy_period_ns(self) -> int | None:
        """Return the least fixpoint of ``max q + sum ceil((w + J) / T) C``; None if not found."""
        w = int(self.q.max()) + int(self.c.sum())
        for _ in range(_MAX_FIXPOINT_STEPS):
            jobs = -(-(w + self.j) // self.t)
            following = int(self.q.max()) + int(np.dot(jobs, self.c))
            if following <= w:
                return w
            if following > 2**61:
                return None
            w = following
        return None

    def last_point_ns(self) -> int | None:
        """Return a bound on the interval lengths that must be tested; None if there is none."""
        longest = int(self.first.max())
        if self.compare_to_one() >= 0:
            return self.busy_period_ns()
        spare = 1.0 - self.utilization
        excess = float(np.sum(self.c / self.t * (self.t - self.d + self.j)))
        # Rounded up: a longer testing set is slower, never wrong.
        linear = max(longest, int(excess / spare * (1.0 + 1e-6)) + 1)
        if self.points_until(linear) <= 20_000:
            return linear
        busy = self.busy_period_ns()
        return linear if busy is None else min(linear, max(busy, longest))

    def points_until(self, end_ns: int) -> int:
        """Return how many steps h has up to ``end_ns``."""
        return int(np.sum(np.maximum(0, (end_ns - self.first) // self.t + 1)))

    def curve(self, end_ns: int) -> DemandCurve:
        """Return h and B at all steps up to ``end_ns``, at most ``MAX_POINTS``."""
        complete = self.points_until(end_ns) <= MAX_POINTS
        while self.points_until(end_ns) > MAX_POINTS:
            end_ns //= 2
        steps, costs = [], []
        for first, period, cost in zip(self.first, self.t, self.c, strict=True):
            if first <= end_ns:
                own = np.arange(int(first), end_ns + 1, int(period), dtype=np.int64)
                steps.append(own)
                costs.append(np.full(own.size, cost, np.int64))
        times = np.concatenate(steps)
        order = np.argsort(times, kind="stable")
        demand = np.cumsum(np.concatenate(costs)[order])
        times = times[order]
        last = np.append(times[1:] != times[:-1], True)  # h after all steps at the same t
        times, demand = times[last], demand[last]
        return DemandCurve(times, demand, self.blocking_at(times), complete)

    def blocking_at(self, times: _Array) -> _Array:
        """Return B(t), int64 [P]: the longest q - 1 of tasks with D - J > t."""
        order = np.argsort(self.first, kind="stable")
        longest = np.maximum.accumulate((self.q[order] - 1)[::-1])[::-1]
        longest = np.append(longest, 0)
        position = np.searchsorted(self.first[order], times, side="right")
        blocking: _Array = longest[position]
        return blocking

    def blocker_at(self, t_ns: int) -> AnalysisTask | None:
        """Return the task that blocks at interval length t."""
        later = [index for index in range(len(self.tasks)) if self.first[index] > t_ns]
        if not later:
            return None
        longest = max(later, key=lambda index: int(self.q[index]))
        return self.tasks[longest] if self.q[longest] > 1 else None


def demand_at(load: LaneLoad, t_ns: int) -> int:
    """Return h(t) for one interval length."""
    jobs = np.maximum(0, (t_ns - load.first) // load.t + 1)
    return int(np.dot(jobs, load.c))


def qpa(load: LaneLoad, end_ns: int) -> int | None:
    """Return an interval length at which the test fails, ``None`` when it holds up to ``end_ns``.

    Quick processor-demand analysis (Zhang & Burns 2009), run downwards separately in each stretch
    where B is constant: h is monotone, h + B is not.
    """
    edges = sorted({int(value) for value in load.first if value <= end_ns})
    for low, high in zip(edges, [*(edge - 1 for edge in edges[1:]), end_ns], strict=True):
        blocking = int(load.blocking_at(np.array([low], np.int64))[0])
        t = _step_at_or_before(load, high)
        while t is not None and t >= low:
            need = demand_at(load, t) + blocking
            if need > t:
                return t
            t = _step_at_or_before(load, need if need < t else t - 1)
    return None


def _step_at_or_before(load: LaneLoad, t_ns: int) -> int | None:
    """Return the last step of h at or before t."""
    known = load.first <= t_ns
    if not known.any():
        return None
    first, period = load.first[known], load.t[known]
    return int(np.max(first + (t_ns - first) // period * period))
