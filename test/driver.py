"""For tests of what is said where there is no GPU."""

from __future__ import annotations

import ctypes

import pytest

__all__ = ["without_driver"]


def _has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


without_driver = pytest.mark.skipif(_has_driver(), reason="this machine has an NVIDIA driver")
