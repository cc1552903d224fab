"""Looks at the node and its engine every few seconds: memory, descriptors, threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.soak.record import Record
from benchmarks.soak.trends import Sample

__all__ = ["Sampler", "sample"]


def sample(part: str, pid: int) -> Sample | None:
    """Return what a process holds now; ``None`` where it has ended.

    ``statm`` is up to half a MiB wrong for each core; ``smaps_rollup`` is exact.
    """
    of = Path("/proc") / str(pid)
    try:
        sizes = {}
        for line in (of / "smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0]) / 1024
        fds = len(os.listdir(of / "fd"))
        threads = len(os.listdir(of / "task"))
        return Sample(
            part,
            pid,
            time.time_ns(),
            sizes["Rss"],
            sizes["Pss"],
            fds,
            threads,
            sizes["Anonymous"],
        )
    except (OSError, KeyError):
        return None


class Sampler:
    """Samples on a thread of its own until it is closed.

    Args:
        parts: return the process id of each part; 0 for none.
        settled: whether all has been good for a while: during a fault there is more or less of
            everything.
        record: gets the samples.
        period_s: between two.
        also: called each time, too.
    """

    def __init__(
        self,
        parts: dict[str, Callable[[], int]],
        settled: Callable[[], bool],
        record: Record,
        *,
        period_s: float,
        also: Callable[[], None],
    ) -> None:
        """Begin."""
        self._parts = parts
        self._settled = settled
        self._record = record
        self._period_s = period_s
        self._also = also
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._period_s):
            self._also()
            if not self._settled():
                continue
            for part, pid in self._parts.items():
                found = sample(part, pid()) if pid() else None
                if found is not None:
                    self._record.sample(found)
