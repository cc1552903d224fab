"""Lets one thread end what another one waits for: a child process, a measurement."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from aegis_ros.errors import StoppedError

__all__ = ["Stop", "check_stop", "ended_by_stop"]

_applied: ContextVar[Stop | None] = ContextVar("stop", default=None)


class Stop:
    """Asks a thread to end its work, and ends what it waits for. Safe to use from any thread.

    A thread that works under :meth:`applied` need not hand it down: whatever waits for long,
    however deep below, looks for it with :func:`ended_by_stop` and :func:`check_stop`.
    """

    def __init__(self) -> None:
        """Begin not set."""
        self._lock = threading.Lock()
        self._is_set = False
        self._acts: list[Callable[[], object]] = []

    @property
    def is_set(self) -> bool:
        """Whether the work is to end."""
        return self._is_set

    def set(self) -> None:
        """Have the work end, now."""
        with self._lock:
            self._is_set = True
            acts, self._acts = self._acts, []
        for act in acts:
            act()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have it hold for all that this thread does meanwhile."""
        before = _applied.set(self)
        try:
            yield
        finally:
            _applied.reset(before)

    @contextmanager
    def calling(self, act: Callable[[], object]) -> Iterator[None]:
        """Have ``act`` called, once, if it is set meanwhile or is already."""
        with self._lock:
            late = self._is_set
            if not late:
                self._acts.append(act)
        if late:
            act()
        try:
            yield
        finally:
            with self._lock:
                if act in self._acts:
                    self._acts.remove(act)


@contextmanager
def ended_by_stop(act: Callable[[], object]) -> Iterator[None]:
    """Have ``act`` called if this thread is asked to stop meanwhile."""
    stop = _applied.get()
    if stop is None:
        yield
        return
    with stop.calling(act):
        yield


def check_stop() -> None:
    """Pass if this thread may go on.

    Raises:
        StoppedError: it was asked to stop.
    """
    stop = _applied.get()
    if stop is not None and stop.is_set:
        raise StoppedError("it was stopped on request")
