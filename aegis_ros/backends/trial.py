"""Runs a network that has just been built or loaded, on the thread that calls."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from aegis_ros.backends.base import Arrays, CompiledNetwork, LoadedNetwork, Shapes
from aegis_ros.backends.outputs import output_arrays

__all__ = ["WARM_UP_RUNS", "Runs", "computed", "facts_of_trial", "measured_shares", "warm_up"]

# A first run finds out what memory a network needs, a second may take it as one block.
WARM_UP_RUNS = 3
_TIMED_RUNS = 7


class Runs(LoadedNetwork, Protocol):
    """A loaded network that runs on the thread that calls it."""

    def run(self, index: int, inputs: Arrays, outputs: Arrays) -> Shapes | None:
        """Run one segment; return the extents of the outputs if some are dynamic."""
        ...


def warm_up(network: CompiledNetwork, loaded: Runs) -> None:
    """Run a network, so that its memory is there before the first job.

    Args:
        network: what was loaded.
        loaded: it, loaded.
    """
    inputs = [np.zeros(item.max_shape, item.dtype) for item in network.inputs]
    outputs = output_arrays(network)
    for index in list(range(loaded.segments)) * WARM_UP_RUNS:
        loaded.run(index, inputs, outputs)


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


def facts_of_trial(
    network: CompiledNetwork, loaded: Runs, request: Mapping[str, Any], *, taken: int
) -> dict[str, Any]:
    """Return what a build child answers of a network that has passed, beside what the cut says.

    Args:
        network: that was built.
        loaded: it, loaded.
        request: with ``weight_bytes`` and ``activation_bytes``, as estimated.
        taken: bytes that a second copy of it took.
    """
    activations = int(request["activation_bytes"])
    return {
        "paths": list(network.paths),
        # No runtime separates weights from activations: the larger of measured and estimated.
        "bytes": max(taken, activations + int(request["weight_bytes"])),
        "activation_bytes": activations,
        "dynamic": list(network.dynamic_outputs),
        "shares": measured_shares(network, loaded),
    }
