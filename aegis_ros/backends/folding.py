"""Computes what is constant in a network before a runtime takes it."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["fold"]


def fold(source: Path, target: Path) -> Path:
    """Write a network with its constant operators computed, extents among them; return the file.

    Extents that are computed while the network runs would keep it from being captured as a CUDA
    graph, and cuts from going where they cross.

    Raises:
        ModelError: ONNX Runtime refuses the network.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Only what suits every provider.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common type
        raise load_error(runtime_failure(error), ModelError) from error
    return target
