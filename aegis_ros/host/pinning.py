"""Which cores a thread of this process can be pinned to."""

from __future__ import annotations

import os
import threading

__all__ = ["pinnable_cores"]

_MOST = 4096  # cores that a lane can name


def pinnable_cores() -> frozenset[int]:
    """Return the cores that the kernel lets a thread of this process be pinned to.

    Those are more than :func:`os.sched_getaffinity` says: a core that is isolated at boot, or left
    out by ``taskset``, is nobody's until somebody asks for it; one that is not there, or that a
    container does not have, is refused.
    """
    found = set[int]()

    def ask() -> None:
        thread = threading.get_native_id()
        os.sched_setaffinity(thread, range(_MOST))  # the kernel leaves out what it does not give
        found.update(os.sched_getaffinity(thread))

    asking = threading.Thread(target=ask, name="pinnable-cores")
    asking.start()
    asking.join()
    return frozenset(found)
