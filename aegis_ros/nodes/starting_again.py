"""Puts a new process in the place of a program that could not begin as it should."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

__all__ = ["may_start_again", "start_again"]

_TIMES = "AEGIS_STARTED_AGAIN"
_MOST = 3


def may_start_again() -> bool:
    """Return whether the program has not done so too often."""
    return _times() < _MOST


def start_again(replace: Callable[..., NoReturn] = os.execv) -> NoReturn:
    """Replace this process by the same program with the same arguments and the same number.

    Nothing that is open is handed on, or locks of this process would seem to be held.

    Args:
        replace: what replaces a process.
    """
    os.environ[_TIMES] = str(_times() + 1)
    sys.stdout.flush()
    sys.stderr.flush()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that this folder is read by
            if int(each.name) > 2:
                os.set_inheritable(int(each.name), False)
    replace(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _times() -> int:
    given = os.environ.get(_TIMES, "")
    return int(given) if given.isdecimal() else 0
