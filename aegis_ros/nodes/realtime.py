"""Keeps the threads and the memory of the node's process from making results late."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["FramePathPriority", "freeze_heap", "shorten_switch_interval", "stay_off_lanes"]

# How long one thread may keep the interpreter lock once another wants it; Python's own is 5 ms.
_SWITCH_INTERVAL_S = 0.0005
# Threads on the way of a frame to its result: ours by their names, and those of Fast DDS and
# Cyclone DDS that receive and acknowledge.
_OWN = ("intake", "unpack", "engine-results", "publish", "hold")
# Those of ours that compute for long; the others go before, or topics would wait for each other.
_LONG = ("unpack",)
_MIDDLEWARE = (b"dds.", b"recv", b"tev", b"dq.")
_BELOW_ENGINE = 2  # the engine's loop and lanes go before


def shorten_switch_interval() -> None:
    """Shorten the time that one thread keeps the interpreter lock while another one waits."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def stay_off_lanes(cores: Iterable[int]) -> frozenset[int]:
    """Keep all threads but the main one off the cores of lanes, if any core is left.

    A thread that wakes up on the core of a lane, even for a microsecond, waits there until the lane
    is idle; if it holds the interpreter lock, all others wait with it. Threads and processes that
    are started later inherit the affinity; the main thread, which only waits, keeps the cores that
    the process was given.

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


class FramePathPriority:
    """Gives the threads between a frame and its result priority over other programs.

    A lane that is in time is of no use if the result then waits for a core behind a compiler.
    Processes that these threads start run at the usual priority.

    Args:
        priority: SCHED_FIFO priority of the engine, 0 for the normal scheduler.
        lanes: core of each lane, ``None`` for any. Where they have every core of this process,
            some run in the normal class, and so do these threads. A core that was isolated for a
            lane is none of the process.

    Attributes:
        refused: whether the system did not allow it.
    """

    def __init__(self, priority: int, lanes: Sequence[int | None]) -> None:
        """Claim nothing yet."""
        own = os.sched_getaffinity(os.getpid())
        spare = len(own) > sum(core is None or core in own for core in lanes)
        self._priority = max(0, priority - _BELOW_ENGINE) if spare else 0
        self._known: set[int] = set()
        self.refused = False

    def claim(self) -> str:
        """Give the threads that have come since the last call their class.

        Returns:
            What was given or refused, as a sentence; empty where nothing was asked for, or where
            no thread has come.
        """
        there = _threads()
        came = [thread for thread in there if thread not in self._known]
        self._known = set(there)  # the number of one that has ended may be given to another
        why = ""
        long = _named(_LONG)
        for thread in came:
            try:
                _set_class(thread, max(min(1, self._priority), self._priority - (thread in long)))
            except ProcessLookupError:
                continue
            except OSError as error:
                why = error.strerror or type(error).__name__
                self.refused = True
        if not self._priority or not came:
            return ""
        if why:
            return (
                f"threads for frames and results have normal priority: SCHED_FIFO is refused "
                f"({why}; allow it with: ulimit -r 99)"
            )
        return f"threads for frames and results run as SCHED_FIFO {self._priority}"


def _threads() -> list[int]:
    """Return the threads on the way of a frame."""
    found = list(_named(_OWN))
    for entry in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            if (entry / "comm").read_bytes().startswith(_MIDDLEWARE):
                found.append(int(entry.name))
    return found


def _named(names: Iterable[str]) -> set[int]:
    found = {thread.native_id for thread in threading.enumerate() if thread.name in names}
    return {thread for thread in found if thread is not None}


def _set_class(thread: int, priority: int) -> None:
    # Without the flag, a compiler started from such a thread would go first as well.
    policy = (os.SCHED_FIFO if priority else os.SCHED_OTHER) | os.SCHED_RESET_ON_FORK
    if priority or os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO:
        os.sched_setscheduler(thread, policy, os.sched_param(priority))


def freeze_heap() -> None:
    """Exclude everything that is allocated by now from garbage collection.

    A full collection of a node with its libraries holds the interpreter lock for 50 ms.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
