"""Keeps whole numbers from being divided by zero, which ends the process where nobody looks.

ONNX Runtime looks at each divisor, and fails the run where one is 0. Others do not look, and the
processor stops the engine. A network that was tried on many frames may do that with the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.operators import STANDARD_DOMAINS, bodies, tensor_types

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

    Other divisors stay as they are, and with them all numbers of a run. Bodies of loops and
    branches of conditions are looked into; constants in them, too, since no run may have come to
    them.

    Args:
        model: the network; it is left as it is.
        operators: whose divisors the runtime does not look at.
    """
    constants = {item.name for item in model.graph.initializer}
    if not _divides(model.graph, constants, operators):
        return model
    changed = onnx.shape_inference.infer_shapes(model, data_prop=True)
    _replace(changed.graph, operators, {}, constants=constants, stem="without_zeros")
    return changed


def _divides(graph: onnx.GraphProto, constants: Collection[str], operators: Sequence[str]) -> bool:
    return any(
        _computes(node, constants, operators)
        or any(_divides(body, (), operators) for body in bodies(node))
        for node in graph.node
    )


def _computes(node: onnx.NodeProto, constants: Collection[str], operators: Sequence[str]) -> bool:
    """Return whether a node divides by something that is no constant."""
    return (
        node.op_type in operators
        and node.domain in STANDARD_DOMAINS
        and node.input[_PLACE[node.op_type]] not in constants
    )


def _replace(
    graph: onnx.GraphProto,
    operators: Sequence[str],
    around: Mapping[str, int],
    *,
    constants: Collection[str] = (),
    stem: str,
) -> None:
    """Replace divisors of a graph and of its operators' bodies.

    Args:
        graph: the network, or a body; it is changed.
        operators: whose divisors are replaced.
        around: types of tensors where the body stands.
        constants: divisors that are no 0.
        stem: of new names.
    """
    types = {**around, **tensor_types(graph)}
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(graph.node):
        own = f"{stem}_{number}"
        for place, body in enumerate(bodies(node)):
            _replace(body, operators, types, stem=f"{own}_{place}")
        # Both of what is divided have one type, and so has the result.
        divides = _computes(node, constants, operators)
        kind = types.get(node.output[0], 0) if divides else 0
        if kind in _WHOLE:
            place = _PLACE[node.op_type]
            for name, value in {"zero": 0, "one": 1}.items():
                constant = np.array(value, helper.tensor_dtype_to_np_dtype(kind))
                graph.initializer.append(numpy_helper.from_array(constant, f"{own}_{name}"))
            divisor = node.input[place]
            nodes += [
                helper.make_node("Equal", [divisor, f"{own}_zero"], [f"{own}_is"]),
                helper.make_node("Where", [f"{own}_is", f"{own}_one", divisor], [f"{own}_not"]),
            ]
            node.input[place] = f"{own}_not"
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
