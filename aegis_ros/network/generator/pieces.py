"""Cuts an exported graph into parts, after ONNX Runtime has optimised it as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.cut import cut, runtime_tensors, tensors_read
from aegis_ros.network.runtime_text import runtime_failure

__all__ = ["optimised_pieces"]


def optimised_pieces(model: onnx.ModelProto, folder: Path, parts: int) -> list[onnx.ModelProto]:
    """Return a graph in parts that compute the bits of the whole.

    Args:
        model: the graph, checked.
        folder: for files that are needed meanwhile.
        parts: how many are wanted.

    Raises:
        ModelError: ONNX Runtime refuses it, or it cannot be cut like that.
    """
    whole = _optimised(model, folder)
    if parts == 1:
        return [whole]
    tensors = runtime_tensors(whole, _session)
    return list(cut(whole, parts, tensors=tensors, costs=_costs(whole)).parts)


def _optimised(model: onnx.ModelProto, folder: Path) -> onnx.ModelProto:
    """Return the graph as ONNX Runtime runs it; what is cut afterwards computes the same bits."""
    import onnxruntime

    source, target = folder / "whole.onnx", folder / "optimised.onnx"
    onnx.save_model(model, str(source))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = str(target)
    onnxruntime.set_default_logger_severity(4)
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common type
        raise load_error(runtime_failure(error), ModelError) from error
    whole = onnx.load_model(str(target))
    source.unlink()
    target.unlink()
    return whole


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _costs(model: onnx.ModelProto) -> list[float]:
    """Return what each operator takes for a token: about the weights that it reads."""
    size = {item.name: float(item.ByteSize()) for item in model.graph.initializer}
    return [
        1024.0 + sum(size.get(name, 0.0) for name in tensors_read(node))
        for node in model.graph.node
    ]
