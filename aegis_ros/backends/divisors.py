"""Keeps whole numbers from being divided by zero, which ends the process where nobody looks.

ONNX Runtime looks at each divisor, and fails the run where one is 0. Others do not look, and the
processor stops the engine. A network that was tried on many frames may do that with the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.operators import STANDARD_DOMAINS, tensor_types

__all__ = ["without_zeros"]

_PLACE = {"Div": 1, "Mod": 1, "Range": 2}  # of the divisor among the inputs
_WHOLE = (
    TensorProto.INT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
)


def without_zeros(
    model: onnx.ModelProto, operators: Sequence[str] = tuple(_PLACE)
) -> onnx.ModelProto:
    """Return a network that divides whole numbers by 1 where a run computes a divisor of 0.

    Other divisors stay as they are, and with them all numbers of a run.

    Args:
        model: the network; it is left as it is.
        operators: whose divisors the runtime does not look at.
    """
    constants = {item.name for item in model.graph.initializer}
    places = [
        number
        for number, node in enumerate(model.graph.node)
        if node.op_type in operators
        and node.domain in STANDARD_DOMAINS
        and node.input[_PLACE[node.op_type]] not in constants
    ]
    if not places:
        return model
    changed = onnx.shape_inference.infer_shapes(model, data_prop=True)
    graph = changed.graph
    types = tensor_types(graph)
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(graph.node):
        # Both of what is divided have one type, and so has the result.
        kind = types.get(node.output[0], 0) if number in places else 0
        if kind in _WHOLE:
            place, stem = _PLACE[node.op_type], f"without_zeros_{number}"
            for name, value in {"zero": 0, "one": 1}.items():
                constant = np.array(value, helper.tensor_dtype_to_np_dtype(kind))
                graph.initializer.append(numpy_helper.from_array(constant, f"{stem}_{name}"))
            divisor = node.input[place]
            nodes += [
                helper.make_node("Equal", [divisor, f"{stem}_zero"], [f"{stem}_is"]),
                helper.make_node("Where", [f"{stem}_is", f"{stem}_one", divisor], [f"{stem}_not"]),
            ]
            node.input[place] = f"{stem}_not"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return changed
