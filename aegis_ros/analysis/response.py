"""Bounds on response times: from the demand curve, and tighter ones from start times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.demand import DemandCurve, LaneLoad

__all__ = ["curve_bounds", "start_time_bounds"]

_BLOCK = 30_000  # array elements in one go: stays in a core's cache
_MAX_ELEMENTS = 1_000_000  # array elements a call may visit, at least
_ELEMENTS_PER_TASK = 2_000
_EXACT = 2**52  # whole numbers below are exact in float64, and so is their division rounded down

_Array = npt.NDArray[np.int64]
_Reals = npt.NDArray[np.float64]


def curve_bounds(load: LaneLoad, curve: DemandCurve, beyond_ns: int | None) -> _Array:
    """Bound every response time of a schedulable lane from its demand curve.

    A job due t after the start of its busy interval ends by h(t) + B(t), whatever the
    segmentation; so it takes at most ``D_i - slack(t)``, for some t of at least ``D_i - J_i``.

    Args:
        load: the lane.
        curve: its curve, at least up to every D - J.
        beyond_ns: least slack beyond the curve; ``None`` if no smaller one can follow.

    Returns:
        int64 [tasks].
    """
    least_after = np.minimum.accumulate(curve.slack_ns[::-1])[::-1]
    least = least_after[np.searchsorted(curve.t_ns, load.first)]
    bounds: _Array = load.d - (least if beyond_ns is None else np.minimum(least, beyond_ns))
    return bounds


def start_time_bounds(
    load: LaneLoad, curve: DemandCurve, upper: _Array, beyond_ns: int | None
) -> _Array:
    """Tighten bounds by following each job to the start of its last segment.

    The last segment of a job that arrives ``a`` after the busy interval's start begins at the
    least fixpoint of (George, Rivierre & Spuri 1996; release jitter after Spuri 1996)::

        L = B(a + D_i) + C_i - last_i + floor((a + J_i) / T_i) C_i
            + sum over j != i of min(1 + floor((L + J_j) / T_j),
                                     1 + floor((a + D_i - D_j + J_j) / T_j)) C_j

    and is not interrupted: ``R_i = max over a of L + last_i - a``. An offset a is left out where
    the demand curve allows it no more than is reached already, or where one step of the iteration
    shows the same (a value that the right side does not raise is not below the least fixpoint).
    Where the limit of work is reached first, what the curve allows the offsets left is the bound;
    so it is for everything where times do not stay below 52 days.

    Args:
        load: a schedulable lane.
        curve: its demand curve.
        upper: int64 [tasks], the bounds of :func:`curve_bounds`.
        beyond_ns: least slack beyond the curve; ``None`` if the curve covers the longest busy
            interval, so that nothing beyond it matters.

    Returns:
        int64 [tasks], nowhere above ``upper``.
    """
    slack = curve.slack_ns
    largest = int(curve.t_ns[-1] + curve.demand_ns[-1] + load.d.max() + load.j.max() + load.t.max())
    if largest >= _EXACT:
        return upper
    count = len(load.tasks)
    best = load.c + load.j
    if beyond_ns is not None:
        best = np.maximum(best, load.d - beyond_ns)
    begin = np.searchsorted(curve.t_ns, load.first)
    follow = _Follow(load, curve, max(_MAX_ELEMENTS, _ELEMENTS_PER_TASK * count))
    place = np.arange(slack.size)
    group = max(1, 4 * _BLOCK // slack.size)
    for first in range(0, count, group):
        if follow.left <= 0:
            best[first:] = upper[first:]
            break
        who = np.arange(first, min(count, first + group))
        allowed = load.d[who, None] - slack
        own, points = np.nonzero((allowed > best[who, None]) & (place >= begin[who, None]))
        _group_bounds(follow, who[own], points, allowed=allowed[own, points], best=best)
    tight: _Array = np.minimum(upper, best)
    return tight


def _group_bounds(
    follow: _Follow, who: _Array, points: _Array, *, allowed: _Array, best: _Array
) -> None:
    """Raise ``best`` to the worst response time at these points.

    Args:
        follow: evaluates response times.
        who: int64 [A], tasks, increasing.
        points: int64 [A], indices into the curve.
        allowed: int64 [A], what the curve allows.
        best: int64 [tasks], what is reached already.
    """
    hope = allowed  # decides which offsets of a task are followed first
    chosen_each = 4
    while who.size and follow.left > 0:
        order = np.lexsort((-hope, who))
        starts = np.flatnonzero(np.diff(who, prepend=-1))
        rank = np.arange(who.size) - np.repeat(starts, np.diff(np.append(starts, who.size)))
        chosen = order[rank < chosen_each]
        np.maximum.at(best, who[chosen], follow.responses(who[chosen], points[chosen]))
        rest = np.ones(who.size, bool)
        rest[chosen] = False
        rest &= allowed > best[who]
        who, points, allowed = who[rest], points[rest], allowed[rest]
        hope = follow.excess(who, points, best)
        rest = hope > 0
        who, points, allowed, hope = who[rest], points[rest], allowed[rest], hope[rest]
        chosen_each *= 4
    np.maximum.at(best, who, allowed)


class _Follow:
    """Iterates start times, in whole numbers kept as float64: that divides faster.

    Attributes:
        left: array elements that may still be visited.
    """

    def __init__(self, load: LaneLoad, curve: DemandCurve, elements: int) -> None:
        """Visit as many elements, more or less."""
        self._c = load.c.astype(np.float64)
        self._t = load.t.astype(np.float64)
        self._d = load.d.astype(np.float64)
        self._j = load.j.astype(np.float64)
        self._first = load.first.astype(np.float64)
        self._last = load.last.astype(np.float64)
        self._due = curve.t_ns.astype(np.float64)
        self._blocking = curve.blocking_ns.astype(np.float64)
        self._rows = max(1, _BLOCK // len(load.tasks))
        self.left = elements

    def responses(self, who: _Array, points: _Array) -> _Array:
        """Return the response times of tasks [A] for jobs due at points [A] of the curve."""
        result = np.empty(who.size, np.int64)
        for first in range(0, who.size, self._rows):
            part = slice(first, first + self._rows)
            caps, fixed, until = self._others(who[part], points[part])
            # Everyone who may come at all comes once at the start.
            begin = fixed + np.minimum(caps, 1.0) @ self._c
            ended = begin.copy()
            row = np.arange(begin.size)
            while row.size:
                following = self._step(caps, fixed, begin)
                more = following != begin
                ended[row] = following
                row, caps, fixed, begin = row[more], caps[more], fixed[more], following[more]
            result[part] = ended - until
        return result

    def excess(self, who: _Array, points: _Array, best: _Array) -> _Array:
        """Return by how much one step exceeds a response time of ``best``, int64 [A].

        Where it does not, no later step does, and the response time is at most ``best``.
        """
        result = np.empty(who.size, np.int64)
        for first in range(0, who.size, self._rows):
            part = slice(first, first + self._rows)
            if self.left <= 0:
                result[part] = 1
                continue
            caps, fixed, until = self._others(who[part], points[part])
            begin = best[who[part]] + until
            result[part] = self._step(caps, fixed, begin) - begin
        return result

    def _others(self, who: _Array, points: _Array) -> tuple[_Reals, _Reals, _Reals]:
        """Return most jobs of each other task, the rest of the sum, and a - last."""
        due = self._due[points]
        row = np.arange(who.size)
        caps = due[:, None] - self._first
        caps /= self._t
        np.floor(caps, out=caps)
        caps += 1.0
        np.maximum(caps, 0.0, out=caps)  # [A, tasks]
        own = caps[row, who] * self._c[who]
        caps[row, who] = 0.0
        self.left -= caps.size
        last = self._last[who]
        return caps, self._blocking[points] + own - last, due - self._d[who] - last

    def _step(self, caps: _Reals, fixed: _Reals, begin: _Reals) -> _Reals:
        jobs = begin[:, None] + self._j
        jobs /= self._t
        np.floor(jobs, out=jobs)
        jobs += 1.0
        np.minimum(jobs, caps, out=jobs)
        self.left -= jobs.size
        following: _Reals = fixed + jobs @ self._c
        return following
