"""Waits in tests: for what is to happen, and with a limit that only a fault reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["until"]

_Found = TypeVar("_Found")


def until(true: Callable[[], _Found], *, within_s: float = 100.0) -> _Found:
    """Wait until something is true, and return it.

    Raises:
        AssertionError: it is not within ``within_s`` seconds.
    """
    end = time.monotonic() + within_s
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found
