"""Small stacks for threads that a library starts and hardly uses.

An engine locks its memory, and then each stack counts whole: 8 MiB where nobody says otherwise.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["small_stacks"]

_STACK_BYTES = 2 * 1024 * 1024
_ATTRIBUTES_BYTES = 128  # pthread_attr_t has 56 on x86_64, 64 on aarch64


@contextmanager
def small_stacks() -> Iterator[None]:
    """Give threads a small stack that are started meanwhile; where glibc is not, do nothing."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "pthread_setattr_default_np"):
        yield
        return
    usual = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
    small = ctypes.create_string_buffer(_ATTRIBUTES_BYTES)
    failed = (
        libc.pthread_getattr_default_np(usual)
        or libc.pthread_getattr_default_np(small)
        or libc.pthread_attr_setstacksize(small, ctypes.c_size_t(_STACK_BYTES))
        or libc.pthread_setattr_default_np(small)
    )
    try:
        yield
    finally:
        if not failed:
            libc.pthread_setattr_default_np(usual)
