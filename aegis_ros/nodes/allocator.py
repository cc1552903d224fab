"""Has glibc keep image-sized memory for the next frame, in few places."""

from __future__ import annotations

import ctypes

__all__ = ["tune_allocator"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
_TRIM_THRESHOLD_BYTES = 2**31 - 1
_ARENAS = 4  # threads on the way of a frame that allocate at once


def tune_allocator() -> bool:
    """Raise both thresholds of glibc's malloc and limit its arenas; return whether it took that.

    Received messages are allocated and freed at frame rate; by default each is a fresh mapping
    that is zeroed page by page. Only both thresholds together help. With them no arena gives back
    what it once needed: threads that come and go, for a registration or a new engine, would leave
    that in one after the other of eight arenas a core. Call before there is a second thread.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        and libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
        and libc.mallopt(_M_ARENA_MAX, _ARENAS)
    )
