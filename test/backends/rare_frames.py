"""Networks that ask for something else on one frame in a thousand, which no trial has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends import create_backend
from aegis_ros.backends.outputs import output_arrays
from aegis_ros.network import Feed, prepare
from aegis_ros.spec import PreprocessSpec

__all__ = ["USUAL", "loaded"]

USUAL, _RARE = (5, 9), 137  # what all pixels are; no frame of a trial is near the second


def loaded(
    backend: str,
    nodes: Sequence[onnx.NodeProto],
    folder: Path,
    *,
    usual: Any,
    rare: Any,
    **constants: Any,
) -> Callable[[int], np.ndarray]:
    """Return what runs a network on a frame of equal pixels, and returns its output.

    Args:
        backend: name of the one that compiles and loads it.
        nodes: make "found", a tensor of numbers, of "asked"; its sum and that of the frame's mean
            is the output.
        folder: for what is made.
        usual: what "asked" is.
        rare: what it is when all pixels are 137.
        constants: others that the nodes take.
    """
    front = [
        helper.make_node("ReduceMin", ["input"], ["least"], keepdims=0),
        helper.make_node("Sub", ["least", "pixel"], ["off"]),
        helper.make_node("Abs", ["off"], ["away"]),
        helper.make_node("Less", ["away", "half"], ["is_rare"]),
        helper.make_node("Where", ["is_rare", "rare", "usual"], ["asked"]),
    ]
    back = [
        helper.make_node("Cast", ["found"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers"], ["sum"], keepdims=0),
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Add", ["sum", "mean"], ["both"]),
        helper.make_node("Reshape", ["both", "one_number"], ["output"]),
    ]
    values = {
        "pixel": np.float32(_RARE),
        "half": np.float32(0.5),
        "one_number": np.array([1]),
        "usual": usual,
        "rare": rare,
    }
    graph = helper.make_graph(
        [*front, *nodes, *back],
        "rare",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1])],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in (values | constants).items()
        ],
    )
    path = folder / "rare.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(made, path)
    feed = Feed(PreprocessSpec(size=(8, 8)), (16, 24, 3))
    prepared = prepare(path, [feed], cache_dir=folder / "cache")
    runtime: Any = create_backend(backend)
    compiled = runtime.compile(prepared, folder)
    network: Any = runtime.load(compiled, 0)

    def run(pixel: int) -> np.ndarray:
        outputs = output_arrays(compiled)
        network.run(0, [np.full((16, 24, 3), pixel, np.uint8)], outputs)
        return outputs[0]

    return run
