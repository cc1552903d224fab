"""Counts the processor time that others used meanwhile: it is in every figure."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["Neighbours", "waited_ns"]


class Neighbours:
    """Counts from its making on.

    Processes that this one started count as its own once they have ended, which they have when the
    share is read.
    """

    def __init__(self) -> None:
        """Begin to count."""
        self._begin = self._now()

    def share(self) -> float:
        """Return processors used by others since the beginning (1.0: one core fully)."""
        elapsed, others = (b - a for a, b in zip(self._begin, self._now(), strict=True))
        return max(0.0, others / elapsed)

    @staticmethod
    def _now() -> tuple[float, float]:
        ticks = [int(text) for text in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
        busy = (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy - sum(os.times()[:4])


def waited_ns(pid: int, core: int) -> int:
    """Return how long threads of a process that may run on one core only have waited for it.

    While it throttles threads with real-time priority, the kernel counts them as waiting, too.
    """
    threads = Path(f"/proc/{pid}/task")
    return sum(
        int((thread / "schedstat").read_text().split()[1])
        for thread in threads.iterdir()
        if os.sched_getaffinity(int(thread.name)) == {core}
    )
