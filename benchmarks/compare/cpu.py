"""Counts whose CPU time went by meanwhile."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cpu", "CpuUse"]

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class CpuUse:
    """Processors used over a time, 1.0 for one fully.

    Attributes:
        way: the processes that are measured.
        ours: cameras and this benchmark.
        others: everybody else.
        stolen: taken by the hypervisor; not in ``others``.
    """

    way: float
    ours: float
    others: float
    stolen: float


class Cpu:
    """Counts from its making on.

    Args:
        way: process ids of what is measured; their children count as well.
    """

    def __init__(self, way: list[int]) -> None:
        """Begin to count."""
        self._way = way
        self._begin = self._now()

    def used(self) -> CpuUse:
        """Return what was used since the beginning."""
        elapsed, *spent = (b - a for a, b in zip(self._begin, self._now(), strict=True))
        way, own, busy, stolen = (max(0.0, item / elapsed) for item in spent)
        return CpuUse(way, max(0.0, own - way), max(0.0, busy - own), stolen)

    def _now(self) -> tuple[float, float, float, float, float]:
        parents, ticks = _processes()
        way = _family(parents, self._way)
        own = _family(parents, [os.getpid()])
        line = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        total = [int(text) for text in line]
        busy = sum(total[:7]) - total[3] - total[4]
        return (
            time.monotonic(),
            sum(ticks[pid] for pid in way) * _TICK_S,
            sum(ticks[pid] for pid in own) * _TICK_S,
            busy * _TICK_S,
            total[7] * _TICK_S,
        )


def _processes() -> tuple[dict[int, int], dict[int, int]]:
    """Return the parent and the ticks (user and system) of every process."""
    parents, ticks = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        pid = int(entry.name)
        parents[pid] = int(fields[1])
        ticks[pid] = int(fields[11]) + int(fields[12])
    return parents, ticks


def _family(parents: dict[int, int], roots: list[int]) -> set[int]:
    """Return these processes and all that come from them."""
    found = set(roots) & parents.keys()
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found
