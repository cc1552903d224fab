"""Small networks and the way to run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.feed import Feed
from aegis_ros.network.graph import fuse, load_graph
from aegis_ros.spec import PreprocessSpec, ResizeMode


def identity_network(
    path: Path,
    shape: Sequence[int | str] = (1, 3, 12, 16),
    *,
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    input_name: str = "input",
) -> Path:
    """A network whose output is its input: what comes out is what preprocessing made."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [input_name], ["output"])],
        "identity",
        [helper.make_tensor_value_info(input_name, dtype, shape)],
        [helper.make_tensor_value_info("output", dtype, shape)],
    )
    return save(graph, path, opset=opset)


def sum_network(path: Path, *, as_input: bool, weights: np.ndarray | None = None) -> Path:
    """Adds a constant [3, 1, 1], listed among the inputs as old exporters did, or not."""
    constant = np.ones((3, 1, 1), np.float32) if weights is None else weights
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])]
    if as_input:
        inputs.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, constant.shape))
    graph = helper.make_graph(
        [helper.make_node("Add", ["input", "weight"], ["output"])],
        "sum",
        inputs,
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, 12, 16])],
        initializer=[numpy_helper.from_array(constant, "weight")],
    )
    return save(graph, path)


def save(graph: onnx.GraphProto, path: Path, *, opset: int = 17, **attributes: Any) -> Path:
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **attributes
    )
    onnx.save_model(model, str(path))
    return path


def session(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def fused_output(path: Path, spec: PreprocessSpec, frame: np.ndarray) -> np.ndarray:
    """The first output of the network with its preprocessing in front."""
    largest = frame.shape if spec.resize is ResizeMode.NONE else (48, 64, 3)
    model = fuse(load_graph(path), [Feed(spec, largest)], {})
    result: np.ndarray = session(model).run(None, {"frame": frame})[0]
    return result
