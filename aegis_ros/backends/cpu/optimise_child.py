"""The work of the child process in which ONNX Runtime optimises a graph and tries the result."""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.errors import ModelError, StateError, load_error
from aegis_ros.network.runtime_text import runtime_failure
from aegis_ros.sandbox.verified import verified

__all__ = ["answer"]

_MCL_CURRENT_AND_FUTURE = 3


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

    The second of two sessions is measured: the first also brings in the runtime's own pages,
    which all networks of an engine share.

    Returns:
        ``bytes``: growth of this process' resident memory; ``dynamic``: names of the outputs
        whose extents the graph does not state.
    """
    import onnxruntime

    from aegis_ros.backends.cpu.onnxruntime import WARM_UP_RUNS, session_options

    _lock_memory()
    frames = {name: np.zeros(shape, dtype) for name, (dtype, shape) in inputs.items()}
    sessions = []
    before = 0
    for _ in range(2):
        before = _resident_bytes()
        session = onnxruntime.InferenceSession(
            target, session_options(), providers=["CPUExecutionProvider"]
        )
        for _ in range(WARM_UP_RUNS):
            session.run(None, frames)
        sessions.append(session)
    dynamic = [
        item.name
        for item in sessions[0].get_outputs()
        if not all(isinstance(extent, int) for extent in item.shape)
    ]
    return {"bytes": max(0, _resident_bytes() - before), "dynamic": dynamic}


def measure_parts(compiled: CompiledNetwork) -> dict[str, Any]:
    """Load a network as the engine will, twice; return the ``bytes`` the second one took."""
    from aegis_ros.backends.cpu.onnxruntime import OnnxRuntimeBackend

    _lock_memory()
    backend = OnnxRuntimeBackend()
    loaded = [backend.load(compiled, 0)]
    before = _resident_bytes()
    loaded.append(backend.load(compiled, 0))
    return {"bytes": max(0, _resident_bytes() - before)}


def _lock_memory() -> None:
    """Have what is reserved count, not what is touched: the engine locks its memory if it may."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mlockall"):
        libc.mlockall(_MCL_CURRENT_AND_FUTURE)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
