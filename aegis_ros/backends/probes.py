"""Frames that a network is tried on when it is compiled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.network.feed import NetworkInput

__all__ = ["probes", "random_frame"]

_SPREAD = 40.0  # of what is not an image: metres, or any numbers of a usual size


def probes(inputs: Sequence[NetworkInput]) -> list[list[npt.NDArray[np.generic]]]:
    """Return sets of frames, one frame an input in each set.

    Random ones of the largest size and of a smaller one, and one set that is all 0.
    """
    generator = np.random.default_rng(0)
    largest = [item.max_shape for item in inputs]
    return [
        [random_frame(generator, item.max_shape, item.dtype) for item in inputs],
        [random_frame(generator, _smaller(item), item.dtype) for item in inputs],
        [np.zeros(shape, item.dtype) for item, shape in zip(inputs, largest, strict=True)],
    ]


def random_frame(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: str, below: int = 256
) -> npt.NDArray[np.generic]:
    """Return a frame of random bytes below a limit, or of random numbers around 0."""
    if dtype == "uint8":
        return generator.integers(0, below, shape, np.uint8)
    return ((generator.random(shape) - 0.5) * _SPREAD).astype(dtype)


def _smaller(item: NetworkInput) -> tuple[int, ...]:
    least = item.least or (1,) * len(item.max_shape)
    return tuple(
        max(low, extent // 2) if isinstance(declared, str) else extent
        for extent, declared, low in zip(item.max_shape, item.tensor.shape, least, strict=True)
    )
