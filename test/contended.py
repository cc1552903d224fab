"""A lock that says when somebody has to wait for it, so that a test need not guess from times."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType

__all__ = ["Contended"]

_Lock = threading.Lock


class Contended:
    """A lock with an event that is set as soon as a thread has to wait for it.

    Whoever waits gets it before those that come later, as no lock of Python's promises.
    """

    def __init__(self) -> None:
        self.waited_for = threading.Event()
        self._lock = _Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, blocking: bool = True) -> bool:
        with self._lock:
            if not self._held:
                self._held = True
                return True
            if not blocking:
                return False
            turn = threading.Event()
            self._waiting.append(turn)
        self.waited_for.set()
        turn.wait()
        return True

    def release(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
