"""Hears signals that ask a program to end, and ends it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

__all__ = ["ENDING", "end_on_signals", "run_and_leave", "wait_for"]

ENDING = (signal.SIGINT, signal.SIGTERM)
_LOOK_S = 0.2


def end_on_signals(end: threading.Event, numbers: Sequence[signal.Signals] = ENDING) -> None:
    """Have signals set an event; to be called on the main thread.

    A thread sets it, which hears of a signal at once. A handler runs on the main thread alone: not
    while that hangs in a library, nor where the signal came just before it began to sleep; and it
    could not set an event that this thread was about to wait for, whose lock is not reentrant.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    wanted = frozenset(numbers)

    def hear() -> None:
        while True:
            if wanted.intersection(heard.recv(64)):
                end.set()

    threading.Thread(target=hear, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)


def wait_for(*events: threading.Event) -> None:
    """Wait on the main thread until one of the events is set; the first is heard at once.

    A signal that comes just before this thread sleeps does not wake it, and its handler can run on
    no other one: so it looks again, a few times a second.
    """
    while not events[0].wait(_LOOK_S) and not any(each.is_set() for each in events):
        pass


def run_and_leave(main: Callable[[], int]) -> NoReturn:
    """Run a program, and end the process with what it returns.

    The interpreter is not taken down first. While that goes on no watchdog runs any more, and Fast
    DDS was seen to wait there for a thread that is gone; what is left of ROS is collected in any
    order, and complains of it.
    """
    try:
        code = main()
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:  # the traceback is all that is left to do
        traceback.print_exc()
        code = 1
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # its reader has gone
            stream.flush()
    os._exit(code)
