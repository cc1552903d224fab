"""Mappings of files that are not pulled in whole, where the process locks all of its memory."""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["untouched"]

_MCL_FUTURE, _MCL_ONFAULT = 2, 4
_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_FAILED = ctypes.c_void_p(-1).value
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int),
    *(ctypes.c_int, ctypes.c_long),
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_guard = threading.Lock()  # what is changed is the whole process's


@contextmanager
def untouched() -> Iterator[None]:
    """Have files that are mapped in the block in memory only as far as they are read.

    ``mlockall`` with ``MCL_FUTURE``, which an engine begins with, has the kernel read a file whole
    when it is mapped. In the block, what is mapped is locked page by page as it is touched; so it
    is for other threads.
    """
    with _guard:
        if not _locks_what_comes():
            yield
            return
        # Without MCL_CURRENT, what is mapped already stays as it is.
        _libc.mlockall(_MCL_FUTURE | _MCL_ONFAULT)
        try:
            yield
        finally:
            _libc.mlockall(_MCL_FUTURE)


def _locks_what_comes() -> bool:
    """Return whether a page that is mapped is in memory before anybody has touched it."""
    both = mmap.PROT_READ | mmap.PROT_WRITE
    page = _libc.mmap(None, mmap.PAGESIZE, both, _PRIVATE, -1, 0)
    if page is None or page == _FAILED:
        return False  # no memory: whoever maps a file next says so
    there = ctypes.create_string_buffer(1)
    try:
        return bool(_libc.mincore(page, mmap.PAGESIZE, there) == 0 and there.raw[0] & 1)
    finally:
        _libc.munmap(page, mmap.PAGESIZE)
