"""Small networks, made on the spot, in the form a backend takes: for tests of backends."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network import NetworkInput, PreparedNetwork, TensorInfo
from aegis_ros.spec import FrameFormat

__all__ = ["SHAPE", "make_network"]

SHAPE = (16, 24, 3)


def _means() -> onnx.GraphProto:
    """uint8 [H, W, 3] -> ``means`` float32 [3], the mean of each channel."""
    return helper.make_graph(
        [
            helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["real", "axes"], ["means"], keepdims=0),
        ],
        "means",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.array([0, 1], np.int64), "axes")],
    )


def _bright() -> onnx.GraphProto:
    """uint8 [H, W, 3] -> ``bright`` int64 [3, n], where the frame is not 0."""
    return helper.make_graph(
        [
            helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("NonZero", ["real"], ["bright"]),
        ],
        "bright",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("bright", TensorProto.INT64, [3, "n"])],
    )


def _label() -> onnx.GraphProto:
    """uint8 [H, W, 3] -> ``label`` int64 [1]: 1 for a bright frame, 0 for a dark one."""
    return helper.make_graph(
        [
            helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["real"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["mean", "factors"], ["scaled"]),
            helper.make_node("Add", ["scaled", "offsets"], ["scores"]),
            helper.make_node("ArgMax", ["scores"], ["label"], axis=0, keepdims=1),
        ],
        "label",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, [1])],
        [
            numpy_helper.from_array(np.array([-1.0, 1.0], np.float32), "factors"),
            numpy_helper.from_array(np.array([200.0, 0.0], np.float32), "offsets"),
        ],
    )


def _chain() -> onnx.GraphProto:
    """uint8 [H, W, 3] -> ``means`` float32 [3] after some operators, ``middle`` on the way.

    What lies between depends on the frame's extents at first, then no more.
    """
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "factor"], ["scaled"]),
        helper.make_node("Softplus", ["scaled"], ["soft"]),
        helper.make_node("ReduceMean", ["soft", "axes"], ["middle"], keepdims=0),
        helper.make_node("Softplus", ["middle"], ["softer"]),
        helper.make_node("Tanh", ["softer"], ["bent"]),
        helper.make_node("Add", ["bent", "middle"], ["means"]),
    ]
    return helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [
            helper.make_tensor_value_info("means", TensorProto.FLOAT, [3]),
            helper.make_tensor_value_info("middle", TensorProto.FLOAT, [3]),
        ],
        [
            numpy_helper.from_array(np.array([0, 1], np.int64), "axes"),
            numpy_helper.from_array(np.array(0.01, np.float32), "factor"),
        ],
    )


def _exits() -> onnx.GraphProto:
    """uint8 [H, W, 3] -> ``logits`` float32 [4], and ``exit`` float32 [4] long before it."""
    generator = np.random.default_rng(3)
    deep = [
        node
        for number in range(6)
        for node in (
            helper.make_node("MatMul", [f"bent{number}", "mix"], [f"mixed{number}"]),
            helper.make_node("Tanh", [f"mixed{number}"], [f"bent{number + 1}"]),
        )
    ]
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "factor"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "widen"], ["bent0"]),
        helper.make_node("MatMul", ["bent0", "early"], ["exit"]),
        *deep,
        helper.make_node("MatMul", ["bent6", "late"], ["logits"]),
    ]
    return helper.make_graph(
        nodes,
        "exits",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, [4]),
            helper.make_tensor_value_info("exit", TensorProto.FLOAT, [4]),
        ],
        [
            numpy_helper.from_array(np.array([0, 1], np.int64), "axes"),
            numpy_helper.from_array(np.array(0.01, np.float32), "factor"),
            *(
                numpy_helper.from_array(generator.normal(size=size).astype(np.float32), name)
                for name, size in (
                    ("widen", (3, 8)),
                    ("mix", (8, 8)),
                    ("early", (8, 4)),
                    ("late", (8, 4)),
                )
            ),
        ],
    )


def _heavy() -> onnx.GraphProto:
    """uint8 [H, W, 3] -> ``logits`` float32 [16], after layers whose weights differ in size."""
    generator = np.random.default_rng(5)
    widths = (3, 64, 512, 256, 512, 16)
    nodes = [
        helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "factor"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "axes"], ["layer0"], keepdims=0),
    ]
    weights = [
        numpy_helper.from_array(np.array([0, 1], np.int64), "axes"),
        numpy_helper.from_array(np.array(0.01, np.float32), "factor"),
    ]
    for number, (low, high) in enumerate(pairwise(widths)):
        made = "logits" if high == widths[-1] else f"layer{number + 1}"
        nodes.append(
            helper.make_node("MatMul", [f"layer{number}", f"weights{number}"], [f"sum{number}"])
        )
        nodes.append(helper.make_node("Tanh", [f"sum{number}"], [made]))
        values = generator.normal(size=(low, high)).astype(np.float32) / np.float32(low) ** 0.5
        weights.append(numpy_helper.from_array(values, f"weights{number}"))
    return helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [16])],
        weights,
    )


def _pair() -> onnx.GraphProto:
    """``frame`` uint8 [H, W, 3] and ``numbers`` float32 of rank 7 -> ``means`` and ``doubled``."""
    graph = _means()
    extents: list[str | int | None] = [1, 2, 1, 3, 1, 2, "last"]
    graph.node.append(helper.make_node("Add", ["numbers", "numbers"], ["doubled"]))
    graph.input.append(helper.make_tensor_value_info("numbers", TensorProto.FLOAT, extents))
    extents[-1] = 2
    graph.output.append(helper.make_tensor_value_info("doubled", TensorProto.FLOAT, extents))
    return graph


_OUTPUTS = {
    "means": (_means, (TensorInfo("means", "float32", (3,)),)),
    # Prepared with a frame that has few bright places.
    "bright": (_bright, (TensorInfo("bright", "int64", (3, 8)),)),
    "label": (_label, (TensorInfo("label", "int64", (1,)),)),
    "pair": (
        _pair,
        (
            TensorInfo("means", "float32", (3,)),
            TensorInfo("doubled", "float32", (1, 2, 1, 3, 1, 2, 2)),
        ),
    ),
    "chain": (
        _chain,
        (TensorInfo("means", "float32", (3,)), TensorInfo("middle", "float32", (3,))),
    ),
    "heavy": (_heavy, (TensorInfo("logits", "float32", (16,)),)),
    "exits": (
        _exits,
        (TensorInfo("logits", "float32", (4,)), TensorInfo("exit", "float32", (4,))),
    ),
}


def _inputs(kind: str, shape: tuple[int, ...]) -> tuple[NetworkInput, ...]:
    frame = NetworkInput(TensorInfo("frame", "uint8", ("h", "w", 3)), FrameFormat.RGB8, shape)
    if kind != "pair":
        return (frame,)
    numbers = TensorInfo("numbers", "float32", (1, 2, 1, 3, 1, 2, "last"))
    return (
        replace(frame, name="frame"),
        NetworkInput(numbers, FrameFormat.TENSOR32F, (1, 2, 1, 3, 1, 2, 2), "numbers"),
    )


def make_network(
    folder: Path, kind: str = "means", name: str = "network", shape: tuple[int, ...] = SHAPE
) -> PreparedNetwork:
    """Write a network of a kind (a key of ``_OUTPUTS``) and return it as if prepared."""
    graph, outputs = _OUTPUTS[kind]
    model = helper.make_model(graph(), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return PreparedNetwork(
        path=path,
        source=path,
        digest=digest,
        key=f"{digest[:16]}{shape[0]}x{shape[1]}",
        inputs=_inputs(kind, shape),
        outputs=outputs,
        weight_bytes=16,
        activation_bytes=shape[0] * shape[1] * 12,
        metadata={},
    )
