"""The work of the child process in which ONNX Runtime optimises a graph and tries the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.resident import second_takes
from aegis_ros.errors import ModelError, StateError, load_error
from aegis_ros.network.runtime_text import runtime_failure
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer ``{"source", "digest", "target"}``, ``{"target", "inputs"}`` or ``{"compiled"}``.

    Raises:
        ModelError: ONNX Runtime refuses the network.
        StateError: ``source`` is not what ``digest`` is of.
    """
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    try:
        if "source" in request:
            with verified(request["source"], request["digest"], StateError) as source:
                optimise(source, request["target"])
            return {}
        if "compiled" in request:
            return measure_parts(CompiledNetwork.from_json(request["compiled"]))
        return measure(request["target"], request["inputs"])
    except (OSError, MemoryError, StateError):
        raise
    except Exception as error:  # its exceptions have no common type
        raise load_error(runtime_failure(error), ModelError) from error


def optimise(source: str, target: str) -> None:
    """Let ONNX Runtime optimise ``source`` and save the graph to ``target``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = target
    onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def measure(target: str, inputs: dict[str, tuple[str, list[int]]]) -> dict[str, Any]:
    """Load and run the saved graph as the engine will; return what it took.

    ``inputs`` are element type and shape of each.

    Returns:
        ``bytes``: growth of this process' resident memory; ``dynamic``: names of the outputs
        whose extents the graph does not state.
    """
    import onnxruntime

    from aegis_ros.backends.cpu.onnxruntime import session_options
    from aegis_ros.backends.trial import WARM_UP_RUNS

    frames = {name: np.zeros(shape, dtype) for name, (dtype, shape) in inputs.items()}

    def load() -> Any:
        session = onnxruntime.InferenceSession(
            target, session_options(), providers=["CPUExecutionProvider"]
        )
        for _ in range(WARM_UP_RUNS):
            session.run(None, frames)
        return session

    taken, session = second_takes(load)
    dynamic = [
        item.name
        for item in session.get_outputs()
        if not all(isinstance(extent, int) for extent in item.shape)
    ]
    return {"bytes": taken, "dynamic": dynamic}


def measure_parts(compiled: CompiledNetwork) -> dict[str, Any]:
    """Load a network as the engine will, twice; return the ``bytes`` the second one took."""
    from aegis_ros.backends.cpu.onnxruntime import OnnxRuntimeBackend

    backend = OnnxRuntimeBackend()
    return {"bytes": second_takes(lambda: backend.load(compiled, 0))[0]}
