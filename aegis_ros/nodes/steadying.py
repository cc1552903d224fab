"""What the node's process does so that its own threads and its memory do not make results late."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["settle_memory", "stay_off_lanes", "switch_threads_often"]

# How long one thread may keep the interpreter lock once another wants it; Python's own is 5 ms.
_SWITCH_INTERVAL_S = 0.0005


def switch_threads_often() -> None:
    """Have the thread that takes a frame wait less for the one that writes a diagnostic."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def stay_off_lanes(cores: Iterable[int]) -> frozenset[int]:
    """Keep all threads but the main one off the cores of lanes, if any core is left.

    A thread that is woken up on the core of a lane, and be it for a microsecond, waits there until
    the lane has nothing to do; with the interpreter lock in hand, all others wait with it. Threads
    and processes that are started later inherit it; the main thread, which only waits, keeps the
    cores that the process was given.

    Args:
        cores: of the lanes.

    Returns:
        The cores that the threads may use.
    """
    own = os.getpid()
    given = os.sched_getaffinity(own)
    free = given - set(cores) or given
    for thread in Path("/proc/self/task").iterdir():
        if int(thread.name) != own:
            with suppress(OSError):  # it has ended
                os.sched_setaffinity(int(thread.name), free)
    return frozenset(free)


def settle_memory() -> None:
    """Keep what is there for long out of the garbage collector's sight.

    A full collection of a node with its libraries holds the interpreter lock for 50 ms.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
