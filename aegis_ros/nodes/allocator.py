"""Keeps glibc from returning image-sized memory to the kernel after every frame."""

from __future__ import annotations

import ctypes

__all__ = ["tune_allocator"]

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_THRESHOLD_BYTES = 32 * 1024 * 1024
_TRIM_THRESHOLD_BYTES = 2**31 - 1


def tune_allocator() -> bool:
    """Raise both thresholds of glibc's malloc; return whether it took them.

    Received messages are allocated and freed at frame rate; by default each is a fresh mapping
    that is zeroed page by page. Only both thresholds together help. Call before ``rclpy.init``.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        return False
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
        and libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD_BYTES)
    )
