"""Where arrays lie in memory, asked of each once: NumPy takes microseconds to say it.

Frames and outputs lie in slots, and the arrays of these stay the same from job to job.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import ref

import numpy.typing as npt

__all__ = ["address_of"]

_Known = dict[int, tuple["ref[npt.NDArray[Any]]", int]]

_known: _Known = {}  # by identity of the array, for as long as it lives


def address_of(array: npt.NDArray[Any]) -> int:
    """Return the address of an array's first element; keeps no array alive."""
    key = id(array)
    known = _known.get(key)
    if known is not None and known[0]() is array:
        return known[1]
    address: int = array.__array_interface__["data"][0]
    _known[key] = ref(array, partial(_forget, key)), address
    return address


def _forget(key: int, gone: ref[npt.NDArray[Any]]) -> None:
    """Drop what was known of an array that is gone, unless another one has its place by now."""
    known = _known.get(key)
    if known is not None and known[0] is gone:
        del _known[key]
