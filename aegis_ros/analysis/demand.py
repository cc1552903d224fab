"""Demand bound of a lane and its testing set, in exact integers.

``h(t)`` is the most execution that jobs ready and due within any interval of length t can ask for
(Baruah, Mok & Rosier 1990; with release jitter Spuri 1996); ``B(t)`` the longest segment of a job
due later that may just have begun (Jeffay, Stanat & Martel 1991; Baruah 2005). A job of best effort
is due later than everything: it asks for nothing in h, and its segment may block at every t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.task import AnalysisTask, by_promise

__all__ = ["MAX_POINTS", "DemandCurve", "LaneLoad", "UndecidedError", "demand_at", "qpa"]

MAX_POINTS = 200_000
_FEW_POINTS = 5_000
_MAX_FIXPOINT_STEPS = 2_000
_MAX_QPA_STEPS = 20_000
_FIXED = 128  # fractional bits of the fixed-point utilization
_SAFE = 2**61

_Array = npt.NDArray[np.int64]


class UndecidedError(Exception):
    """A test did not reach an answer within its limits."""


@dataclass(frozen=True)
class DemandCurve:
    """h and B at the steps of h.

    Attributes:
        t_ns: int64 [P], increasing interval lengths.
        demand_ns: int64 [P], h(t).
        blocking_ns: int64 [P], B(t).
        end_ns: every step up to here is in it.
    """

    t_ns: _Array
    demand_ns: _Array
    blocking_ns: _Array
    end_ns: int

    @property
    def slack_ns(self) -> _Array:
        """``t - h(t) - B(t)``, int64 [P]."""
        slack: _Array = self.t_ns - self.demand_ns - self.blocking_ns
        return slack


class LaneLoad:
    """The tasks of one lane as arrays of int64 nanoseconds.

    The caller has made sure that no budget exceeds its deadline, so that everything fits 64 bits.

    Args:
        tasks: at least one that is not of best effort. Those of best effort ask for nothing; the
            longest of their segments blocks at every interval length.
        switch_ns: charged to every segment.

    Attributes:
        tasks: those whose deadlines are promised; the arrays have one entry for each.
        background: the task of best effort with the longest segment; ``None`` for none.
        floor_ns: how long that can block, whatever the interval; 0 for none.
    """

    def __init__(self, tasks: Sequence[AnalysisTask], switch_ns: int = 0) -> None:
        """Keep budgets ``c``, periods ``t``, deadlines ``d``, jitters ``j``, segments ``q``."""
        promised, slack = by_promise(tasks)
        self.tasks = tuple(promised)
        self.background = max(slack, key=lambda task: max(task.segments_ns), default=None)
        self.floor_ns = 0 if self.background is None else self.background.longest_ns(switch_ns) - 1
        rows = [
            (
                task.wcet_ns(switch_ns),
                task.period_ns,
                task.deadline_ns,
                task.jitter_ns,
                task.longest_ns(switch_ns),
                task.last_ns + switch_ns,
            )
            for task in promised
        ]
        self.c, self.t, self.d, self.j, self.q, self.last = np.array(rows, np.int64).T.copy()
        self.first = self.d - self.j  # first step of h of each task
        self.latest_ns = int(self.first.max())
        self.longest_ns = max(int(self.q.max()), self.floor_ns + 1 if slack else 0)
        one = 1 << _FIXED
        self._shares = [(row[0] << _FIXED) // row[1] for row in rows]  # rounded down
        low = sum(self._shares)
        self._low, self._high = low, low + len(rows)  # fixed-point bounds of the utilization
        if low > one:
            self._sign = 1
        elif self._high < one:
            self._sign = -1
        else:
            exact = sum((Fraction(row[0], row[1]) for row in rows), Fraction(0))
            self._sign = (exact > 1) - (exact < 1)

    @property
    def utilization(self) -> float:
        """Sum of budgets over periods, rounded to float."""
        return float(np.sum(self.c / self.t))

    def compare_to_one(self) -> int:
        """Return the sign of (utilization - 1), exactly."""
        return self._sign

    def excess(self) -> int:
        """Return an upper bound of ``sum U_i (T_i - D_i + J_i)`` and the floor, fixed point."""
        total = self.floor_ns << _FIXED
        gaps = (self.t - self.first).tolist()
        for share, gap in zip(self._shares, gaps, strict=True):
            total += (share + 1) * gap if gap > 0 else share * gap
        return total

    def line_slack_ns(self, t_ns: int) -> int:
        """Return a lower bound of the slack at t and beyond, for t >= every D - J.

        ``h(t) <= U t + sum U_i (T_i - D_i + J_i)``: the slack grows at least like a line, from
        which best effort can take no more than one segment.
        """
        spare = (1 << _FIXED) - self._high
        if spare <= 0:
            return -_SAFE
        return (spare * t_ns - self.excess()) >> _FIXED

    def line_reaches_ns(self, slack_ns: int) -> int | None:
        """Return a t from which on the slack is at least ``slack_ns``; None if out of range."""
        spare = (1 << _FIXED) - self._high
        if spare <= 0:
            return None
        reached = -(-(self.excess() + (slack_ns << _FIXED)) // spare)
        return reached if reached < _SAFE else None

    def busy_period_ns(self, blocking_ns: int = 0) -> int | None:
        """Return the least fixpoint of ``b + sum ceil((w + J) / T) C``; None if not found."""
        if self._sign > 0:
            return None
        # No fixpoint lies below b + U w + sum U J = w, so the search may begin there.
        asked = blocking_ns << _FIXED
        jitters: list[int] = self.j.tolist()
        asked += sum(s * j for s, j in zip(self._shares, jitters, strict=True))
        least: int = asked // max(1, (1 << _FIXED) - self._low)
        if least > _SAFE:
            return None
        w = max(least, blocking_ns + int(self.c.sum()))
        for _ in range(_MAX_FIXPOINT_STEPS):
            following = blocking_ns + int(np.dot(-(-(w + self.j) // self.t), self.c))
            if following <= w:
                return w
            if following > _SAFE:
                return None
            w = following
        return None

    def hyperperiod_ns(self) -> int | None:
        """Return the least common multiple of the periods; None if it is out of range."""
        result = 1
        for period in self.t.tolist():
            result = lcm(result, period)
            if result > _SAFE:
                return None
        return result

    def horizon_ns(self, slack_ns: int = 0, reach_ns: int = 0) -> int | None:
        """Return an interval length beyond which the slack is at least ``slack_ns``.

        The least of three bounds, none below the largest D - J: the line of
        :meth:`line_reaches_ns`; the longest busy period with no more blocking than that by best
        effort (no busy interval of jobs due within it is longer), plus ``reach_ns``; one
        hyperperiod (for a utilization of 1 or less, the slack repeats or grows from one to the
        next).

        Args:
            slack_ns: 0 for the test itself.
            reach_ns: 0 for the test itself.

        Returns:
            ``None`` when none of the bounds is in range.
        """
        latest = self.latest_ns
        line = self.line_reaches_ns(slack_ns)
        if line is not None and self.points_until(max(line, latest)) <= _FEW_POINTS:
            return max(line, latest)
        ends = [line]
        busy = self.busy_period_ns(self.longest_ns if reach_ns else self.floor_ns)
        ends.append(None if busy is None else busy + reach_ns)
        cycle = self.hyperperiod_ns()
        ends.append(None if cycle is None else latest + cycle)
        known = [end for end in ends if end is not None]
        return max(latest, min(known)) if known else None

    def points_until(self, end_ns: int) -> int:
        """Return how many steps h has up to ``end_ns``, saturated far above any limit."""
        counts = np.maximum(0.0, (float(end_ns) - self.first) / self.t + 1.0)
        return int(min(float(counts.sum()), 1e18))

    def fits(self, end_ns: int) -> bool:
        """Return whether h up to ``end_ns`` stays inside 64 bits."""
        counts = np.maximum(0.0, (float(end_ns) - self.first) / self.t + 1.0)
        return end_ns < _SAFE and float(np.dot(counts, self.c.astype(float))) < float(_SAFE)

    def curve(self, end_ns: int) -> DemandCurve:
        """Return h and B at all steps up to ``end_ns``; the caller has bounded their number."""
        counts = np.maximum(0, (end_ns - self.first) // self.t + 1)
        total = int(counts.sum())
        owner = np.repeat(np.arange(counts.size), counts)
        k = np.arange(total, dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        times = self.first[owner] + k * self.t[owner]
        order = np.argsort(times)
        times = times[order]
        demand = np.cumsum(self.c[owner[order]])
        last = np.empty(total, bool)
        last[:-1] = times[1:] != times[:-1]  # h after all steps at the same t
        last[-1:] = True
        times, demand = times[last], demand[last]
        return DemandCurve(times, demand, self.blocking_at(times), end_ns)

    def blocking_at(self, times: _Array) -> _Array:
        """Return B(t), int64 [P]: the longest q - 1 of tasks with D - J > t or best effort."""
        order = np.argsort(self.first, kind="stable")
        longest = np.maximum.accumulate((self.q[order] - 1)[::-1])[::-1]
        longest = np.maximum(np.append(longest, 0), self.floor_ns)
        position = np.searchsorted(self.first[order], times, side="right")
        blocking: _Array = longest[position]
        return blocking

    def blocker_at(self, t_ns: int) -> AnalysisTask | None:
        """Return the task that blocks at interval length t."""
        later = np.nonzero(self.first > t_ns)[0]
        longest = int(later[np.argmax(self.q[later])]) if later.size else -1
        if longest < 0 or self.q[longest] - 1 < self.floor_ns:
            return self.background if self.floor_ns else None
        return self.tasks[longest] if self.q[longest] > 1 else None


def demand_at(load: LaneLoad, t_ns: int) -> int:
    """Return h(t) for one interval length."""
    jobs = np.maximum(0, (t_ns - load.first) // load.t + 1)
    return int(np.dot(jobs, load.c))


def qpa(load: LaneLoad, end_ns: int) -> int | None:
    """Return an interval length at which the test fails, ``None`` when it holds up to ``end_ns``.

    Quick processor-demand analysis (Zhang & Burns 2009), run downwards separately in each stretch
    where B is constant: h is monotone, h + B is not.

    Raises:
        UndecidedError: no answer within the limit of steps.
    """
    edges = np.unique(load.first[load.first <= end_ns])
    blocking = load.blocking_at(edges).tolist()
    lows = edges.tolist()
    highs = [*(edge - 1 for edge in lows[1:]), end_ns]
    left = _MAX_QPA_STEPS
    for low, high, blocked in zip(reversed(lows), reversed(highs), reversed(blocking), strict=True):
        t = _step_at_or_before(load, high)
        while t >= low:
            need = demand_at(load, t) + blocked
            if need > t:
                return t
            t = _step_at_or_before(load, need if need < t else t - 1)
            left -= 1
            if left == 0:
                raise UndecidedError
    return None


def _step_at_or_before(load: LaneLoad, t_ns: int) -> int:
    """Return the last step of h at or before t; -1 if there is none."""
    steps = t_ns - (t_ns - load.first) % load.t
    return int(np.max(np.where(load.first <= t_ns, steps, -1)))
