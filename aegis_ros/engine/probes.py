"""Where the inputs lie that a network is measured with: one stack of frames an input."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.engine.memory import SharedMemory, aligned

__all__ = ["inputs_bytes", "inputs_in"]


def inputs_bytes(compiled: CompiledNetwork, count: int) -> int:
    """Return how much memory ``count`` sets of the largest inputs take."""
    return sum(aligned(size) for size in _sizes(compiled, count))


def inputs_in(
    memory: SharedMemory, compiled: CompiledNetwork, count: int
) -> list[npt.NDArray[np.generic]]:
    """Return one array [count, *largest shape] an input, one behind the other in memory."""
    arrays, offset = [], 0
    for item, size in zip(compiled.inputs, _sizes(compiled, count), strict=True):
        arrays.append(memory.array(offset, (count, *item.max_shape), item.dtype))
        offset += aligned(size)
    return arrays


def _sizes(compiled: CompiledNetwork, count: int) -> list[int]:
    return [
        count * math.prod(item.max_shape) * np.dtype(item.dtype).itemsize
        for item in compiled.inputs
    ]
