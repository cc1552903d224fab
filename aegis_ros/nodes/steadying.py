"""What the node's process does so that its own threads and its memory do not make results late."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["go_first", "settle_memory", "stay_off_lanes", "switch_threads_often"]

# How long one thread may keep the interpreter lock once another wants it; Python's own is 5 ms.
_SWITCH_INTERVAL_S = 0.0005
# Threads on the way of a frame to its result: ours by their names, and those of Fast DDS and
# Cyclone DDS that receive and acknowledge.
_OWN = ("intake", "engine-results", "publish", "hold")
_MIDDLEWARE = ("dds.", "recv", "tev", "dq.")
_BELOW_ENGINE = 2  # the engine's loop and lanes go before


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


def go_first(priority: int) -> str:
    """Let the threads between a frame and its result run before other programs.

    A lane that keeps its time helps nobody whose result waits for a core behind a compiler. What
    these threads start runs as usual. To be called again when threads may have come.

    Args:
        priority: SCHED_FIFO priority of the engine, 0 for the normal scheduler.

    Returns:
        What was given or refused, as a sentence; empty where nothing was asked for.
    """
    if not priority:
        return ""
    threads = [
        thread.native_id
        for thread in threading.enumerate()
        if thread.name in _OWN and thread.native_id is not None
    ]
    for entry in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            if (entry / "comm").read_text().startswith(_MIDDLEWARE):
                threads.append(int(entry.name))
    wanted = max(1, priority - _BELOW_ENGINE)
    for thread in threads:
        try:
            # Without the flag, a compiler started from such a thread would go first as well.
            policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(thread, policy, os.sched_param(wanted))
        except ProcessLookupError:
            continue
        except PermissionError as error:
            return f"frames and results wait behind other programs: SCHED_FIFO ({error.strerror})"
    return f"frames and results go before other programs: SCHED_FIFO {wanted}"


def settle_memory() -> None:
    """Keep what is there for long out of the garbage collector's sight.

    A full collection of a node with its libraries holds the interpreter lock for 50 ms.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
