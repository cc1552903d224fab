"""Sets where and in which class all threads of this process run, those of its libraries too."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

__all__ = ["claim_class", "keep_off"]


def keep_off(core: int) -> None:
    """Keep all threads off a core, where another one is left; what they start inherits that.

    The call for a process moves its main thread only, and numpy has started others by then.
    """
    free = os.sched_getaffinity(0) - {core}
    if free:
        _for_all(lambda thread: os.sched_setaffinity(thread, free))


def claim_class(priority: int) -> None:
    """Have all threads run as SCHED_RR of a priority; 0 leaves them in their class."""
    if priority:
        wanted = os.sched_param(priority)
        _for_all(lambda thread: os.sched_setscheduler(thread, os.SCHED_RR, wanted))


def _for_all(change: Callable[[int], None]) -> None:
    """Call it with every thread, also with those that come meanwhile."""
    done: set[int] = set()
    while new := {int(entry.name) for entry in Path("/proc/self/task").iterdir()} - done:
        for thread in new:
            with suppress(ProcessLookupError):  # it has ended
                change(thread)
        done |= new
