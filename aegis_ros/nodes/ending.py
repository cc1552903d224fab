"""Hears signals that ask a program to end."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Sequence

__all__ = ["ENDING", "end_on_signals", "wait_for"]

ENDING = (signal.SIGINT, signal.SIGTERM)
_LOOK_S = 0.2


def end_on_signals(end: threading.Event, numbers: Sequence[signal.Signals] = ENDING) -> None:
    """Have signals set an event; to be called on the main thread.

    The handler sets it on a thread of its own: it runs on the main thread, wherever that is, and an
    event has a lock that is not reentrant. A signal that came while the main thread began to
    wait for the event has hung the program for ever.
    """
    for number in numbers:
        signal.signal(number, lambda *_: _thread.start_new_thread(end.set, ()))


def wait_for(end: threading.Event) -> None:
    """Wait on the main thread until an event is set.

    A signal that comes just before this thread sleeps does not wake it, and its handler can run on
    no other one: so it looks again, a few times a second.
    """
    while not end.wait(_LOOK_S):
        pass
