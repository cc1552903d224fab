"""Starts and ends the processes of one way, and counts whose CPU time went by meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cpu", "CpuUse", "process", "wait"]

_PATIENCE_S = 60.0
_END_S = 8.0
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


def wait(true: Callable[[], Any], what: str, running: subprocess.Popen[bytes] | None) -> None:
    """Wait until ``true()``.

    Raises:
        SystemExit: it does not happen, or the process that should make it happen has ended.
    """
    end = time.monotonic() + _PATIENCE_S
    while not true():
        if running is not None and running.poll() is not None:
            raise SystemExit(f"{what}: the process ended with {running.returncode}")
        if time.monotonic() > end:
            raise SystemExit(f"{what}: this did not happen within {_PATIENCE_S:.0f} s")
        time.sleep(0.01)


@contextmanager
def process(log: Path, module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``python -m module`` and end it.

    It is in a session of its own, so that Ctrl-C ends this benchmark first, and what is measured
    only afterwards.
    """
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        # Asked first: a node that is killed leaves shared memory that others trip over.
        running.send_signal(signal.SIGINT)
        try:
            running.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


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
