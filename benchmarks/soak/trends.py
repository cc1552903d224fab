"""Whether something grows: slopes and levels of what was sampled of one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Sample", "Trend", "trend"]

SETTLE_S = 600.0  # what a process takes in its first minutes it takes once
LEAST_S = 600.0  # a shorter time says nothing about an hour
_SHARE = 0.25  # of a shorter life: as good as it gets
_PART = 3  # levels are compared between the first and the last third


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at a moment.

    Attributes:
        part: ``node`` or ``engine``.
        pid: of the process.
        at_ns: on the wall clock.
        rss_mib, pss_mib: resident memory, whole and with shared pages divided up.
        fds, threads: how many.
        anon_mib: memory that belongs to no file and is shared with nobody: what a leak is made of.
            Resident memory also holds the images of others' shared memory, as DDS maps it.
    """

    part: str
    pid: int
    at_ns: int
    rss_mib: float
    pss_mib: float
    fds: int
    threads: int
    anon_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Trend:
    """How one process developed.

    Attributes:
        pid: of the process.
        life_s: from its first to its last sample.
        skipped_s: not looked at, at the beginning.
        slope_mib_h: of its resident memory; ``None`` where it was not looked at long enough.
        half_mib_h: the same of the second half of its life, where what it takes once per sort of
            event has been taken.
        anon_mib_h: as ``slope_mib_h``, of the memory that is shared with nobody; ``None`` where it
            was not sampled, too.
        rss_mib: at the end (median).
        fds, threads: growth from the first to the last third; ``None`` likewise.
        samples: that were looked at.
    """

    pid: int
    life_s: float
    skipped_s: float
    slope_mib_h: float | None
    half_mib_h: float | None
    anon_mib_h: float | None
    rss_mib: float
    fds: float | None
    threads: float | None
    samples: int


def trend(samples: Sequence[Sample], settle_s: float = SETTLE_S, least_s: float = LEAST_S) -> Trend:
    """Return the trend of one process, from samples in their order.

    Args:
        samples: at least one.
        settle_s: to skip at the beginning; a quarter of a shorter life.
        least_s: that must be left to tell a slope.
    """
    times_s = np.array([(each.at_ns - samples[0].at_ns) / 1e9 for each in samples])
    life_s = float(times_s[-1])
    skipped_s = min(settle_s, life_s * _SHARE)
    kept = [each for each, at in zip(samples, times_s, strict=True) if at >= skipped_s]
    seen_s = life_s - skipped_s
    part = max(1, len(kept) // _PART)
    rss = [each.rss_mib for each in kept]
    told = seen_s >= least_s and len(kept) > 2 * _PART
    slope = half = anon = fds = threads = None
    if told:
        hours = times_s[-len(kept) :] / 3600.0
        slope = float(np.polyfit(hours, rss, 1)[0])
        if kept[0].anon_mib:
            anon = float(np.polyfit(hours, [each.anon_mib for each in kept], 1)[0])
        late = hours >= life_s / 7200.0
        if life_s / 2 >= least_s:
            half = float(np.polyfit(hours[late], np.array(rss)[late], 1)[0])
        fds = _growth([each.fds for each in kept], part)
        threads = _growth([each.threads for each in kept], part)
    return Trend(
        samples[0].pid,
        life_s,
        skipped_s,
        slope,
        half,
        anon,
        float(np.median(rss[-part:])),
        fds,
        threads,
        len(kept),
    )


def _growth(values: Sequence[int], part: int) -> float:
    return float(np.median(values[-part:]) - np.median(values[:part]))
