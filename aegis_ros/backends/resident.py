"""What a network takes of the memory of the process that loads it."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["second_takes"]

_MCL_CURRENT_AND_FUTURE = 3
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
        libc.mlockall(_MCL_CURRENT_AND_FUTURE)
    first = load()
    before = _resident_bytes()
    second = load()
    taken = max(0, _resident_bytes() - before)
    del first  # not before it was measured beside it
    return taken, second


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
