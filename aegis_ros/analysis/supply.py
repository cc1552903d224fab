"""Whether event-triggered tasks meet their deadlines in the gaps that a static table leaves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.demand import MAX_POINTS, LaneLoad
from aegis_ros.analysis.periodic import Place
from aegis_ros.analysis.task import AnalysisTask

__all__ = ["Supply", "fits_in_gaps"]

_MAX_CELLS = 20_000_000  # of gaps times interval lengths that are looked at

_Array = npt.NDArray[np.int64]


class Supply:
    """The least time that the gaps of a table give in any interval of some length.

    A job that fills a gap starts only where its segment ends before the next place, so the end of
    a gap may be lost: one tick less than the longest segment of all tasks that fill gaps.

    Args:
        places: of one lane.
        cycle_ns: length of the table's cycle.
        longest_ns: longest segment of the tasks that fill gaps, switch included.
    """

    def __init__(self, places: Sequence[Place], cycle_ns: int, longest_ns: int) -> None:
        """Keep the usable part of each gap."""
        self.cycle_ns = cycle_ns
        taken = sorted(
            (place.start_ns % cycle_ns, place.end_ns - place.start_ns) for place in places
        )
        starts = np.array([start for start, _ in taken], np.int64)
        ends = starts + np.array([length for _, length in taken], np.int64)
        if not taken:
            self.begin = np.zeros(1, np.int64)
            self.end = np.full(1, cycle_ns, np.int64)
        else:
            after = np.append(starts[1:], starts[0] + cycle_ns)
            usable = after - ends - (longest_ns - 1)
            kept = usable > 0
            self.begin, self.end = ends[kept], (ends + usable)[kept]
        self.per_cycle_ns = int((self.end - self.begin).sum())

    def least_ns(self, lengths_ns: _Array) -> _Array:
        """Return the least usable time in any interval of each length, int64 [P].

        The worst interval begins where a usable part ends.
        """
        if not self.begin.size:
            return np.zeros_like(lengths_ns)
        least: _Array = np.full(lengths_ns.shape, np.iinfo(np.int64).max)
        for start in self.end.tolist():
            least = np.minimum(least, self._until(start + lengths_ns) - self._until(start))
        return least

    def _until(self, t_ns: _Array | int) -> _Array:
        """Return the usable time in [first usable part's begin, t), for t at or after it."""
        since = np.asarray(t_ns, np.int64) - self.begin[0]
        whole, rest = since // self.cycle_ns, since % self.cycle_ns
        begin, length = self.begin - self.begin[0], self.end - self.begin
        before = np.cumsum(length) - length
        index = np.searchsorted(begin, rest, side="right") - 1
        part: _Array = before[index] + np.minimum(rest - begin[index], length[index])
        until: _Array = whole * self.per_cycle_ns + part
        return until


def fits_in_gaps(
    tasks: Sequence[AnalysisTask],
    places: Sequence[Place],
    cycle_ns: int,
    *,
    switch_ns: int = 0,
) -> bool | None:
    """Return whether sporadic tasks under EDF in the gaps of a table meet every deadline.

    The demand test of a lane, with the least supply of the gaps in place of the interval's length
    (Shin & Lee 2003): ``h(t) + B(t) <= supply(t)`` at every step of h. Sufficient.

    Args:
        tasks: event-triggered; they arrive in any way their periods and jitters allow.
        places: of the lane's table.
        cycle_ns: of the table.
        switch_ns: cost of starting one segment.

    Returns:
        ``None`` where the test has no end within its limits.
    """
    if not tasks:
        return True
    load = LaneLoad(tasks, switch_ns)
    supply = Supply(places, cycle_ns, int(load.q.max()))
    spare = supply.per_cycle_ns / cycle_ns - load.utilization
    if supply.per_cycle_ns == 0 or spare < 0:
        return False
    if spare < 1e-6 or not load.fits(load.latest_ns):
        return None
    # supply(t) >= share (t - cycle) and h(t) <= U t + excess: what lies beyond cannot fail.
    excess = float(np.sum(load.c / load.t * np.maximum(0, load.t - load.first)))
    blocked = float(load.q.max())
    share = supply.per_cycle_ns / cycle_ns
    end = max(load.latest_ns, int((excess + blocked + share * cycle_ns) / spare * 1.001) + 1)
    points = load.points_until(end)
    if points > MAX_POINTS or points * supply.begin.size > _MAX_CELLS or not load.fits(end):
        return None
    curve = load.curve(end)
    need = curve.demand_ns + curve.blocking_ns
    return bool(np.all(need <= supply.least_ns(curve.t_ns)))
