"""Whether event-triggered tasks meet their deadlines in the gaps that a static table leaves."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

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

    A job that fills a gap starts only where its segment ends before the next place. So a gap of
    length g in which something always waits executes at least ``g - q + 1``, q being the longest
    segment, from its start on and without a pause, and a whole number of segments: the next
    multiple of what divides all of them.

    Args:
        places: of one lane.
        cycle_ns: length of the table's cycle.
        longest_ns: longest segment of the tasks that fill gaps, switch included.
        grain_ns: a divisor of all those segments.
    """

    def __init__(
        self, places: Sequence[Place], cycle_ns: int, longest_ns: int, grain_ns: int = 1
    ) -> None:
        """Keep what each gap gives."""
        self.cycle_ns = cycle_ns
        taken = sorted(
            (place.start_ns % cycle_ns, place.end_ns - place.start_ns) for place in places
        )
        if not taken:
            begin, after = np.zeros(1, np.int64), np.full(1, cycle_ns, np.int64)
            given = after
        else:
            starts = np.array([start for start, _ in taken], np.int64)
            begin = starts + np.array([length for _, length in taken], np.int64)
            after = np.append(starts[1:], starts[0] + cycle_ns)
            given = -(-(after - begin - longest_ns + 1) // grain_ns) * grain_ns
        fits = after - begin >= longest_ns
        self.begin_ns, self.given_ns = begin[fits], given[fits]  # int64 [gaps]
        self._too_late_ns = after[fits] - longest_ns + 1  # for the longest segment to start
        self.per_cycle_ns = int(self.given_ns.sum())

    def least_ns(self, lengths_ns: _Array) -> _Array:
        """Return the least time given in any interval of each length, int64 [P].

        The worst interval begins as soon as the longest segment does not fit any more.
        """
        if not self.begin_ns.size:
            return np.zeros_like(lengths_ns)
        least: _Array = np.full(lengths_ns.shape, np.iinfo(np.int64).max)
        before = np.cumsum(self.given_ns)
        for start, gone in zip(self._too_late_ns.tolist(), before.tolist(), strict=True):
            least = np.minimum(least, self._until(start + lengths_ns) - gone)
        return np.maximum(least, 0)

    def _until(self, t_ns: _Array) -> _Array:
        """Return what is given from the first gap's begin until t, for t after it."""
        since = t_ns - self.begin_ns[0]
        whole, rest = since // self.cycle_ns, since % self.cycle_ns
        begin = self.begin_ns - self.begin_ns[0]
        before = np.cumsum(self.given_ns) - self.given_ns
        index = np.searchsorted(begin, rest, side="right") - 1
        part = before[index] + np.minimum(rest - begin[index], self.given_ns[index])
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

    The demand test of a lane with the least supply of the gaps (Shin & Lee 2003): a segment due
    later may have just begun in a gap, and is over after B(t); what follows is demand alone, so
    ``h(t) <= supply(t - B(t))`` at every step of h. Sufficient.

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
    longest = int(load.q.max())
    grain = gcd(*(part + switch_ns for task in tasks for part in task.segments_ns))
    supply = Supply(places, cycle_ns, longest, grain)
    spare = supply.per_cycle_ns / cycle_ns - load.utilization
    if supply.per_cycle_ns == 0 or spare < 0:
        return False
    if spare < 1e-6 or not load.fits(load.latest_ns):
        return None
    # supply(t - B) >= share (t - q - cycle) - q and h(t) <= U t + excess: beyond nothing can fail.
    excess = float(np.sum(load.c / load.t * np.maximum(0, load.t - load.first)))
    share = supply.per_cycle_ns / cycle_ns
    furthest = (excess + share * (longest + cycle_ns) + longest) / spare
    end = max(load.latest_ns, int(furthest * 1.001) + 1)
    points = load.points_until(end)
    cells = points * supply.begin_ns.size
    if points > MAX_POINTS or cells > _MAX_CELLS or not load.fits(end):
        return None
    curve = load.curve(end)
    left = np.maximum(0, curve.t_ns - curve.blocking_ns)
    return bool(np.all(curve.demand_ns <= supply.least_ns(left)))
