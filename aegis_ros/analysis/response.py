"""Bounds on response times: from the demand curve, and tighter ones from start times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.demand import DemandCurve, LaneLoad

__all__ = ["curve_bounds", "start_time_bounds"]

_BATCH = 32
_MAX_EVALUATIONS = 4_000_000  # array elements a call may visit

_Array = npt.NDArray[np.int64]


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

    and is not interrupted: ``R_i = max over a of L + last_i - a``. The offsets a are visited in
    the order of what the demand curve allows for them, until no other can be worse.

    Args:
        load: a schedulable lane.
        curve: its demand curve.
        upper: int64 [tasks], the bounds of :func:`curve_bounds`.
        beyond_ns: least slack beyond the curve; ``None`` if the curve covers the longest busy
            interval, so that nothing beyond it matters.

    Returns:
        int64 [tasks], nowhere above ``upper``.
    """
    tight = upper.copy()
    slack = curve.slack_ns
    left = _MAX_EVALUATIONS
    for i in range(len(load.tasks)):
        start = int(np.searchsorted(curve.t_ns, load.first[i]))
        allowed = load.d[i] - slack[start:]
        order = np.argsort(-allowed, kind="stable")
        best = int(load.c[i] + load.j[i])
        if beyond_ns is not None:
            best = max(best, int(load.d[i]) - beyond_ns)
        done = 0
        while done < order.size and int(allowed[order[done]]) > best:
            chosen = order[done : done + _BATCH]
            done += _BATCH
            t = curve.t_ns[start:][chosen]
            bounds, spent = _follow(load, i, t, curve.blocking_ns[start:][chosen])
            best = max(best, int(bounds.max()))
            left -= spent
            if left <= 0:
                return tight
        tight[i] = min(int(upper[i]), best)
    return tight


def _follow(load: LaneLoad, i: int, t: _Array, blocking: _Array) -> tuple[_Array, int]:
    """Return the response time for each t = a + D_i, int64 [A], and the elements visited."""
    caps = np.maximum(0, (t[:, None] - load.first) // load.t + 1)  # [A, tasks]
    own = (caps[:, i] - 1) * load.c[i]
    caps[:, i] = 0
    fixed = blocking + own + load.c[i] - load.last[i]
    begin = fixed.copy()
    spent = 0
    while True:
        jobs = np.minimum(caps, (begin[:, None] + load.j) // load.t + 1)
        following = fixed + jobs @ load.c
        spent += jobs.size
        if np.array_equal(following, begin):
            break
        begin = following
    return begin + load.last[i] - (t - load.d[i]), spent
