"""What the kernel says of a process's memory, and the end of one that takes more than it may."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["forget_peak", "killed_above", "status_bytes"]

_LOOK_S = 0.005


def status_bytes(pid: int, field: str) -> int:
    """Return a field of /proc/PID/status: ``VmHWM`` for the most that was resident."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    """Have the kernel count the most that was resident (``VmHWM``) from now on."""
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as counter:
        counter.write("5")


@contextmanager
def killed_above(pid: int, limit_bytes: int) -> Iterator[list[int]]:
    """Kill a process in the block once the kernel has counted more than a limit.

    ``RLIMIT_DATA`` cannot do it: it counts addresses, and pages that move from one to the other
    have many. The kernel keeps the peak, so that none is missed between two looks.

    Yields:
        Peaks for which it was killed: none, or one.
    """
    done = threading.Event()
    found: list[int] = []

    def look() -> None:
        while not done.wait(_LOOK_S):
            with suppress(OSError, StopIteration):  # it has ended meanwhile
                peak = status_bytes(pid, "VmHWM")
                if peak > limit_bytes:
                    found.append(peak)
                    os.kill(pid, signal.SIGKILL)
                    return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
