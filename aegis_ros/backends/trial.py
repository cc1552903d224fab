"""Runs a network that has just been built, on the thread that calls."""

from __future__ import annotations

import math
import time
from typing import Protocol

import numpy as np

from aegis_ros.backends.base import Arrays, CompiledNetwork, LoadedNetwork, Shapes
from aegis_ros.backends.outputs import output_arrays

__all__ = ["Runs", "computed", "measured_shares"]

_TIMED_RUNS = 7


class Runs(LoadedNetwork, Protocol):
    """A loaded network that runs on the thread that calls it."""

    def run(self, index: int, inputs: Arrays, outputs: Arrays) -> Shapes | None:
        """Run one segment; return the extents of the outputs if some are dynamic."""
        ...


def computed(network: CompiledNetwork, loaded: Runs, inputs: Arrays) -> Arrays:
    """Return every output for these frames, as extensive as it is.

    Args:
        network: that was built.
        loaded: it, loaded.
        inputs: one frame an input.
    """
    outputs = output_arrays(network)
    shapes = None
    for segment in range(loaded.segments):
        shapes = loaded.run(segment, inputs, outputs)
    if shapes is None:
        return outputs
    return [
        values.reshape(-1)[: math.prod(shape)].reshape(shape)
        for values, shape in zip(outputs, shapes, strict=True)
    ]


def measured_shares(network: CompiledNetwork, loaded: Runs) -> list[float]:
    """Return the part of the execution time that each segment takes, 1 together.

    Args:
        network: that was built.
        loaded: it, loaded.
    """
    inputs = [np.zeros(item.max_shape, item.dtype) for item in network.inputs]
    outputs = output_arrays(network)
    taken = np.zeros((_TIMED_RUNS, loaded.segments))
    for run in range(_TIMED_RUNS):
        for segment in range(loaded.segments):
            began = time.perf_counter()
            loaded.run(segment, inputs, outputs)
            taken[run, segment] = time.perf_counter() - began
    typical = np.median(taken, axis=0)
    shares: list[float] = (typical / typical.sum()).tolist()
    return shares
