"""What a network should compute: ONNX Runtime's numbers, unoptimised, on random frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, CompiledNetwork
from aegis_ros.backends.probes import random_frame

__all__ = ["TOLERANCE", "difference", "session"]

# Of an output's largest number. TF32 keeps 10 bits of a factor, a relative error of 2**-11 each;
# deep networks add some of them up.
TOLERANCE = 0.02
_PROBES = 2


def difference(network: CompiledNetwork, source: Path, compute: Callable[[Arrays], Arrays]) -> str:
    """Return which output is off by more than :data:`TOLERANCE` of its largest number, or nothing.

    Outputs of whole numbers (labels, places) may jump at the least difference and are not compared,
    nor are those whose extents depend on the data.

    Args:
        network: its frames and outputs.
        source: the ONNX file.
        compute: what is checked: returns the outputs for one array an input.
    """
    names = [item.name for item in network.outputs]
    reference = session(str(source))
    fed = [item.tensor.name for item in network.inputs]
    for inputs in _probes(network):
        told = reference.run(names, dict(zip(fed, inputs, strict=True)))
        for name, found, wanted in zip(names, compute(inputs), told, strict=True):
            if wanted.dtype.kind != "f" or wanted.shape != found.shape or not wanted.size:
                continue
            scale = float(np.max(np.abs(wanted))) + 1e-6
            off = float(np.max(np.abs(found.astype(np.float64) - wanted))) / scale
            if not off <= TOLERANCE:
                return (
                    f"output {name!r} is off from ONNX Runtime's by {off:.1%} of its largest "
                    f"number, and {TOLERANCE:.0%} is tolerated"
                )
    return ""


def session(model: str | bytes) -> Any:
    """Return an ONNX Runtime session that computes a network, file or content, as it is written."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _probes(network: CompiledNetwork) -> list[list[npt.NDArray[np.generic]]]:
    generator = np.random.default_rng(0)
    return [
        [random_frame(generator, item.max_shape, item.dtype) for item in network.inputs]
        for _ in range(_PROBES)
    ]
