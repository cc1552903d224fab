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


def detector(
    path: Path, shape: tuple[int, int, int, int], *, most: int, padded: bool = False
) -> Path:
    """A detector with a real suppression: an object is a value above 200 of the first channel.

    Args:
        path: where it goes.
        shape: of its image.
        most: how many its suppression keeps.
        padded: whether its result is filled up with zeros to so many, as some exporters do.

    Returns:
        The path; the output is [objects, 6]: y1, x1, y2, x2, score, class.
    """
    *_, high, wide = shape
    rows, columns = (each.reshape(-1) for each in np.mgrid[:high, :wide].astype(np.float32))
    corners = np.stack([rows, columns, rows + 0.8, columns + 0.8], 1)
    constants = {
        "corners": corners[np.newaxis],
        "all": corners,
        "most": np.array([most]),
        "overlap": np.array([0.5], np.float32),
        "threshold": np.array([200.0], np.float32),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "three": np.array([3]),
        "flat": np.array([1, 1, -1]),
        "row": np.array([-1]),
        "column": np.array([-1, 1]),
        "filling": np.zeros((most, 6), np.float32),
    }
    calls = [
        ("Slice", "image zero one one", "red", {}),
        ("Reshape", "red flat", "scores", {}),
        ("NonMaxSuppression", "corners scores most overlap threshold", "chosen", {}),
        ("Slice", "chosen two three one", "place", {}),
        ("Slice", "chosen one two one", "class", {}),
        ("Reshape", "place row", "places", {}),
        ("Gather", "all places", "kept", {}),
        ("Reshape", "scores row", "values", {}),
        ("Gather", "values places", "sure", {}),
        ("Reshape", "sure column", "score", {}),
        ("Cast", "class", "label", {"to": TensorProto.FLOAT}),
        ("Concat", "kept score label", "found" if padded else "objects", {"axis": 1}),
    ]
    if padded:
        calls += [
            ("Concat", "found filling", "filled", {"axis": 0}),
            ("Slice", "filled zero most zero", "objects", {}),
        ]
    graph = helper.make_graph(
        [
            helper.make_node(operator, inputs.split(), [output], **attributes)
            for operator, inputs, output, attributes in calls
        ],
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("objects", TensorProto.FLOAT, [most if padded else "n", 6])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return save(graph, path)
