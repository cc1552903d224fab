"""What Ctrl+C does to a program and its children, from their first moment on."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["INTERRUPTED", "end_at_once", "kept_from_children", "unwound"]

#: Exit code, as a shell gives it to a program that SIGINT ends; 1 would be an answer.
INTERRUPTED = 130

_DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)
_AGAIN_S = 0.01


def end_at_once(code: int, numbers: Sequence[int] = (signal.SIGINT,)) -> None:
    """Have signals end the process at once, as long as there is nothing to give back.

    Python would answer with a traceback of the imports, which take most of the start, and `ros2
    launch` calls a node that a signal ended one that has died. Where a signal is ignored, as SIGINT
    is in the background of a shell, or has a handler, it stays so.

    Args:
        code: exit code.
        numbers: of the signals.
    """

    def leave(*_: Any) -> NoReturn:
        os._exit(code)

    for number in numbers:
        if signal.getsignal(number) in _DEFAULTS:
            signal.signal(number, leave)


@contextmanager
def unwound() -> Iterator[None]:
    """Have Ctrl+C leave the block as ``SystemExit``, so that what was begun is given back.

    Libraries make answers of their own of ``KeyboardInterrupt``, and errors of whatever is raised
    while they are imported: whatever leaves the block after Ctrl+C is its doing. Where it comes in
    a finalizer or a weak reference's callback, as each import ends with one, Python drops what is
    raised there: it comes once more, a moment later.

    Raises:
        SystemExit: with :data:`INTERRUPTED`.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    came = left = False
    told = sys.unraisablehook

    def come(*_: Any) -> NoReturn:
        nonlocal came
        came = True
        raise SystemExit(INTERRUPTED)

    def dropped(what: Any) -> None:
        if came and isinstance(what.exc_value, SystemExit):
            _thread.start_new_thread(again, ())  # unlike threading's, this takes no lock
        else:
            told(what)

    def again() -> None:
        time.sleep(_AGAIN_S)
        if not left:
            os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, come)
    sys.unraisablehook = dropped
    try:
        yield
        if came:
            raise SystemExit(INTERRUPTED)
    except BaseException:
        if came:
            raise SystemExit(INTERRUPTED) from None
        raise
    finally:
        left = True
        sys.unraisablehook = told
        signal.signal(signal.SIGINT, before)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Keep Ctrl+C from a process that is started in the block, in a group of its own.

    A child is in the group of this process until it has left that (setpgid(2)), and has no handlers
    any more by then: Ctrl+C would end it before its program begins, and its end would look like a
    fault. So SIGINT is blocked, and stays so in the child.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
