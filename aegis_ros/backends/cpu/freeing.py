"""Memory that goes back to the kernel when it is freed, where a process otherwise keeps it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["given_back"]

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 1024 * 1024
_USUAL_BYTES = 32 * 1024 * 1024  # as the engine is started with; the most that glibc takes


@contextmanager
def given_back() -> Iterator[None]:
    """Have blocks of a megabyte and more be mappings of their own, which are unmapped when freed.

    Of the heap, nothing goes back where memory is locked, as the engine's is: what a session needs
    while it is made stays taken then. Only glibc knows this; other allocators go on as they do.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_BYTES)
