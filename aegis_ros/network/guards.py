"""Fails a run that would take all memory, or end the process, for what a frame holds.

Runtimes make a tensor as large as a network asks for, and a number in a frame may be what it asks
for. ONNX Runtime looks at divisors of 0, and not at the one quotient that has no place: the least
whole number divided by -1, for which the processor ends the process. Only what depends on a frame's
values is guarded, not what follows from its extents, which are bounded. Bodies of loops and
branches of conditions are guarded as the network is; what a loop hands to its body counts as a
frame's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from aegis_ros.network.cut import tensors_read
from aegis_ros.network.operators import STANDARD_DOMAINS, bodies, tensor_types

__all__ = ["MOST_ELEMENTS", "guarded"]

MOST_ELEMENTS = 2**24  # of a tensor whose extents depend on a frame's values
_OF_EXTENTS = ("Shape", "Size")  # depend on extents only, whatever they are of
_WHOLE = (TensorProto.INT32, TensorProto.INT64)  # shorter ones are divided as these

# The input that decides the extents of what an operator makes.
_EXTENTS = {
    "BlackmanWindow": 0,
    "CenterCropPad": 1,
    "ConstantOfShape": 0,
    "Expand": 1,
    "HammingWindow": 0,
    "HannWindow": 0,
    "OneHot": 1,
    "Pad": 1,
    "Range": 1,
    "Resize": 3,
    "Tile": 1,
}
_RESIZE_SCALES = 2


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a network before it runs.

    Attributes:
        decided: tensors whose values depend on those of frames.
        types: of tensors, by name.
        constants: what returns the values of tensors that never change, by name.
    """

    decided: set[str]
    types: dict[str, int]
    constants: dict[str, Callable[[], Any]]


class _Writer:
    """What stands in place of one operator.

    Attributes:
        nodes: in their order, the operator among them.
        constants: what they use.
    """

    def __init__(self, stem: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._stem = stem

    def constant(self, values: Any, dtype: Any) -> str:
        name = f"{self._stem}_constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def __call__(self, operator: str, *inputs: str, name: str = "", **given: Any) -> str:
        output = f"{self._stem}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **given))
        return output

    def last(self, node: onnx.NodeProto, place: int, tensor: str) -> None:
        """Add the operator itself, with one input that is another one."""
        again = onnx.NodeProto()
        again.CopyFrom(node)
        again.input[place] = tensor
        self.nodes.append(again)

    def as_float(self, tensor: str) -> str:
        return self("Cast", tensor, to=TensorProto.FLOAT)

    def extents(self, tensor: str) -> str:
        return self.as_float(self("Shape", tensor))


def guarded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the network with guards where it needs some, else the network itself.

    A run fails where the values of a frame ask for more than :data:`MOST_ELEMENTS`. The least whole
    number divided by -1 is itself, as it is where whole numbers wrap.

    Args:
        model: a network with inferred types; it is left as it is.
    """
    stem, taken = "guard", _names(model.graph)
    while any(name.startswith(stem) for name in taken):
        stem += "_"
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if not _guard(changed.graph, _Known(set(), {}, {}), stem):
        return model
    return shape_inference.infer_shapes(changed, strict_mode=False, data_prop=True)


def _guard(graph: onnx.GraphProto, around: _Known, stem: str) -> bool:
    """Guard the operators of a graph and of their bodies; return whether any needs that.

    Args:
        graph: the network, or a body.
        around: what is known where the body stands.
        stem: what no name in the network begins with.
    """
    known = _Known(
        _decided(graph, around.decided),
        around.types | tensor_types(graph),
        around.constants | _constants(graph),
    )
    needed = False
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(graph.node):
        for place, body in enumerate(bodies(node)):
            needed |= _guard(body, known, f"{stem}{number}_{place}_")
        write = _Writer(f"{stem}{number}")
        if node.domain in STANDARD_DOMAINS:
            if node.op_type in ("Div", "Mod"):
                _divide(node, write, known)
            elif node.op_type in _EXTENTS:
                _make(node, write, known)
        needed |= bool(write.nodes)
        nodes += write.nodes or [node]
        graph.initializer.extend(write.constants)
    del graph.node[:]
    graph.node.extend(nodes)
    return needed


def _names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all tensors, those in bodies among them."""
    names = {item.name for item in (*graph.input, *graph.initializer)}
    for node in graph.node:
        names.update(node.output)
        for body in bodies(node):
            names |= _names(body)
    return names


def _decided(graph: onnx.GraphProto, around: set[str]) -> set[str]:
    """Return the tensors whose values depend on those of frames."""
    decided = around | {item.name for item in graph.input}
    for node in graph.node:
        if node.op_type not in _OF_EXTENTS and decided.intersection(tensors_read(node)):
            decided.update(name for name in node.output if name)
    return decided


def _constants(graph: onnx.GraphProto) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        item.name: partial(numpy_helper.to_array, item) for item in graph.initializer
    }
    for node in graph.node:
        if node.op_type == "Constant":
            value = helper.get_attribute_value(node.attribute[0])
            if isinstance(value, onnx.TensorProto):
                found[node.output[0]] = partial(numpy_helper.to_array, value)
            else:
                found[node.output[0]] = partial(np.asarray, value)
    return found


def _divide(node: onnx.NodeProto, write: _Writer, known: _Known) -> None:
    dividend, divisor = node.input
    kind = known.types.get(node.output[0], 0)
    if kind not in _WHOLE or not known.decided.intersection(node.input):
        return
    values = known.constants.get(divisor)
    if divisor not in known.decided and (values is None or -1 not in values()):
        return
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    is_minus_one = write("Equal", divisor, write.constant(-1, dtype))
    safe = write("Where", is_minus_one, write.constant(1, dtype), divisor)
    if node.op_type == "Mod":  # by 1 and by -1 nothing is left
        write.last(node, 1, safe)
        return
    quotient = write("Div", dividend, safe, name=node.name)
    negative = write("Neg", dividend)
    write.nodes.append(
        helper.make_node("Where", [is_minus_one, negative, quotient], [node.output[0]])
    )


def _make(node: onnx.NodeProto, write: _Writer, known: _Known) -> None:
    place = _EXTENTS[node.op_type]
    if node.op_type == "Resize" and (len(node.input) <= place or not node.input[place]):
        place = _RESIZE_SCALES
    if len(node.input) <= place:
        return
    deciding = node.input if node.op_type == "Range" else [node.input[place]]
    asked = node.input[place]
    kind = known.types.get(asked, 0)
    if not known.decided.intersection(deciding) or kind not in (
        *_WHOLE,
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
    ):
        return
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    at_least_one = write("Max", _extents_of(node, place, write), write.constant(1, np.float32))
    elements = write("ReduceProd", at_least_one, keepdims=0)
    too_many = write("Greater", elements, write.constant(MOST_ELEMENTS, np.float32))
    nothing = node.input[0] if node.op_type == "Range" else write.constant(0, dtype)
    kept = write("Where", too_many, nothing, asked)
    # Who looks at indices fails here, and says the name; for others, nothing is made.
    fails = write(
        "Gather",
        write.constant([0], dtype),
        write("Cast", too_many, to=TensorProto.INT64),
        name=f"at most {MOST_ELEMENTS} elements of {node.op_type} {node.name or node.output[0]}",
    )
    write.last(node, place, write("Add", kept, fails))


def _extents_of(node: onnx.NodeProto, place: int, write: _Writer) -> str:
    """Return a tensor of numbers whose product is about how many elements an operator makes."""
    if node.op_type == "Range":
        start, limit, step = (write.as_float(name) for name in node.input)
        return write("Div", write("Sub", limit, start), step)
    asked = write.as_float(node.input[place])
    if node.op_type == "Tile" or place == _RESIZE_SCALES:
        return write("Mul", asked, write.extents(node.input[0]))
    if node.op_type == "OneHot":
        return write("Mul", asked, write.as_float(write("Size", node.input[0])))
    if node.op_type == "Pad":
        sides = write("Reshape", asked, write.constant([2, -1], np.int64))
        more = write("ReduceSum", sides, write.constant([0], np.int64), keepdims=0)
        of_axes = len(node.input) > 3 and node.input[3]
        return more if of_axes else write("Add", more, write.extents(node.input[0]))
    return asked
