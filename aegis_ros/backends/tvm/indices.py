"""Keeps indices that a run computes within the tensors that they point into.

ONNX Runtime looks at each index, and fails the run where one points nowhere. What TVM compiles does
not look: it would read, or write, what lies beside the tensor in the engine. A network that was
tried on many frames may still do that with the next one.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.rationale import Rule

__all__ = ["within_bounds"]

_ALONG_AXIS = ("Gather", "GatherElements", "Scatter", "ScatterElements")
_OF_TUPLES = ("GatherND", "ScatterND")


def within_bounds(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network whose indices, where none is there, are moved to the nearest one.

    Indices that are there stay as they are, and with them all numbers of a run. Constant ones were
    all used when the network was prepared.

    Raises:
        ModelError: in how many places one may point is known in a run only.
    """
    constants = {item.name for item in model.graph.initializer}
    if not any(_reaches(node, constants) for node in model.graph.node):
        return model
    changed = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = changed.graph
    infos = {item.name: item.type.tensor_type for item in (*graph.input, *graph.value_info)}
    shapes: dict[str, list[int]] = {item.name: list(item.dims) for item in graph.initializer}
    for name, kind in infos.items():
        if kind.HasField("shape"):
            shapes.setdefault(name, [each.dim_value for each in kind.shape.dim])  # 0: not known
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(graph.node):
        if _reaches(node, constants):
            kind = infos.get(node.input[1])
            counts = _counts(node, shapes)
            if kind is None or not counts or not all(counts):
                raise _not_known(node)
            dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
            stem = f"within_bounds_{number}"
            ends = {"low": [-each for each in counts], "high": [each - 1 for each in counts]}
            for end, values in ends.items():
                bound = np.array(values[0] if node.op_type in _ALONG_AXIS else values, dtype)
                graph.initializer.append(numpy_helper.from_array(bound, f"{stem}_{end}"))
            index, below, not_low = node.input[1], f"{stem}_below", f"{stem}_not_low"
            above, inside = f"{stem}_above", f"{stem}_inside"
            nodes += [
                helper.make_node("Less", [index, f"{stem}_low"], [below]),
                helper.make_node("Where", [below, f"{stem}_low", index], [not_low]),
                helper.make_node("Greater", [not_low, f"{stem}_high"], [above]),
                helper.make_node("Where", [above, f"{stem}_high", not_low], [inside]),
            ]
            node.input[1] = inside
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return changed


def _reaches(node: onnx.NodeProto, constants: set[str]) -> bool:
    """Return whether a node uses indices that a run computes."""
    return node.op_type in (*_ALONG_AXIS, *_OF_TUPLES) and node.input[1] not in constants


def _counts(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> list[int]:
    """Return in how many places an index, or each part of it, may point; 0 where nobody knows."""
    data, indices = shapes.get(node.input[0], []), shapes.get(node.input[1], [])
    given = {each.name: each.i for each in node.attribute}
    if node.op_type in _ALONG_AXIS:
        axis = given.get("axis", 0)
        return [data[axis]] if -len(data) <= axis < len(data) else []
    first, parts = given.get("batch_dims", 0), indices[-1] if indices else 0
    return data[first : first + parts]


def _not_known(node: onnx.NodeProto) -> ModelError:
    return ModelError(
        f"TVM would not notice where an index of {node.op_type} that a run computes points beyond "
        "a tensor whose extents each frame decides",
        where="model",
        rule=Rule.MODEL_VALID,
        hint="Export it with fixed extents, or use another backend for this network",
    )
