"""What a network takes of the memory of the process that loads it."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["MCL_CURRENT_AND_FUTURE", "peak_bytes", "resident_bytes", "second_takes"]

MCL_CURRENT_AND_FUTURE = 3
_Loaded = TypeVar("_Loaded")


def second_takes(load: Callable[[], _Loaded]) -> tuple[int, _Loaded]:
    """Load a network twice; return by how many bytes the second one makes this process grow.

    The first also brings in the runtime's own pages, which all networks of an engine share. All
    memory is locked, as the engine's is if it may be: what is reserved counts, not what is touched.
    For a child process, which has nothing else to do.

    Args:
        load: loads the network and runs it, as the engine will.

    Returns:
        The bytes, and the second network.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mlockall"):
        libc.mlockall(MCL_CURRENT_AND_FUTURE)
    first = load()
    before = resident_bytes()
    second = load()
    taken = max(0, resident_bytes() - before)
    del first  # not before it was measured beside it
    return taken, second


def resident_bytes() -> int:
    """Return what of this process is in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """Return the most of this process that ever was in memory."""
    status = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in status if line.startswith("VmHWM:"))
    return int(found.split()[1]) * 1024
