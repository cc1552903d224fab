"""A lock that says when somebody has to wait for it, so that a test need not guess from times."""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["Contended"]

_Lock = threading.Lock


class Contended:
    """A lock with an event that is set as soon as a thread has to wait for it."""

    def __init__(self) -> None:
        self.waited_for = threading.Event()
        self._lock = _Lock()

    def __enter__(self) -> bool:
        if not self._lock.acquire(blocking=False):
            self.waited_for.set()
            self._lock.acquire()
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
