"""Keeps indices that a run computes within the tensors that they point into.

ONNX Runtime looks at each index, and fails the run where one points nowhere. Other runtimes do not
look: they would read, or write, what lies beside the tensor in the engine. A network that was tried
on many frames may still do that with the next one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from aegis_ros.errors import ModelError
from aegis_ros.network.operators import STANDARD_DOMAINS, bodies, tensor_types
from aegis_ros.rationale import Rule

__all__ = ["within_bounds"]

_ALONG_AXIS = ("Gather", "GatherElements", "Scatter", "ScatterElements")
_OF_TUPLES = ("GatherND", "ScatterND")
_PLACE = dict.fromkeys((*_ALONG_AXIS, *_OF_TUPLES, "MaxUnpool"), 1) | {"RoiAlign": 2}
_FROM_THE_END = (*_ALONG_AXIS, *_OF_TUPLES)  # where -1 is the last one


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a network before it runs.

    Attributes:
        types: of tensors, by name.
        shapes: extents of tensors, by name; 0 where a run decides.
    """

    types: Mapping[str, int]
    shapes: Mapping[str, Sequence[int]]


def within_bounds(
    model: onnx.ModelProto,
    runtime: str,
    operators: Sequence[str] = tuple(_PLACE),
    *,
    counting: bool = False,
) -> onnx.ModelProto:
    """Return a network whose indices, where none is there, are moved to the nearest one.

    Indices that are there stay as they are, and with them all numbers of a run. Constant ones were
    all used when the network was prepared, but for those in the bodies of loops and the branches of
    conditions, to which no run may have come.

    Args:
        model: the network; it is left as it is.
        runtime: as its makers write it, for messages.
        operators: whose indices it does not look at.
        counting: whether a run may count the places where it decides extents.

    Raises:
        ModelError: in how many places one may point is known in a run only.
    """
    constants = {item.name for item in model.graph.initializer}
    if not _reaches_anywhere(model.graph, constants, operators):
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for node in changed.graph.node:
        _forget(node)
    changed = onnx.shape_inference.infer_shapes(changed, data_prop=True)
    keeper = _Keeper(runtime, operators, counting)
    keeper.keep(changed.graph, _Known({}, {}), constants=constants, stem="within_bounds")
    return changed


@dataclass(frozen=True, slots=True)
class _Keeper:
    """What keeps the indices of a graph within bounds.

    Attributes:
        runtime, operators, counting: as :func:`within_bounds` is told.
    """

    runtime: str
    operators: Sequence[str]
    counting: bool

    def keep(
        self,
        graph: onnx.GraphProto,
        around: _Known,
        *,
        constants: Collection[str] = (),
        stem: str,
    ) -> None:
        """Bound indices of a graph and of its operators' bodies.

        Args:
            graph: the network, or a body; it is changed.
            around: what is known where the body stands.
            constants: indices that are there.
            stem: of new names.
        """
        known = _known(graph, around)
        nodes: list[onnx.NodeProto] = []
        for number, node in enumerate(graph.node):
            own = f"{stem}_{number}"
            for place, body in enumerate(bodies(node)):
                self.keep(body, known, stem=f"{own}_{place}")
            if _reaches(node, constants, self.operators):
                nodes += self._bounding(graph, node, known, own)
            nodes.append(node)
        del graph.node[:]
        graph.node.extend(nodes)

    def _bounding(
        self, graph: onnx.GraphProto, node: onnx.NodeProto, known: _Known, stem: str
    ) -> list[onnx.NodeProto]:
        """Return what moves the index of a node, which then uses the moved one."""
        place = _PLACE[node.op_type]
        index, kind = node.input[place], known.types.get(node.input[place], 0)
        counts = _counts(node, known.shapes)
        counted = _counted(node, known.shapes) if self.counting else None
        nodes: list[onnx.NodeProto] = []
        if kind and counts and all(counts):
            _bounded(graph, node, counts, kind, stem=stem)
        elif kind and counted is not None:
            nodes += counted.nodes(graph, node, kind, stem=stem)
        else:
            raise _not_known(node, self.runtime)
        below, not_low = f"{stem}_below", f"{stem}_not_low"
        above, inside = f"{stem}_above", f"{stem}_inside"
        node.input[place] = inside
        return [
            *nodes,
            helper.make_node("Less", [index, f"{stem}_low"], [below]),
            helper.make_node("Where", [below, f"{stem}_low", index], [not_low]),
            helper.make_node("Greater", [not_low, f"{stem}_high"], [above]),
            helper.make_node("Where", [above, f"{stem}_high", not_low], [inside]),
        ]


@dataclass(frozen=True, slots=True)
class _Counted:
    """Which extents of a tensor bound an index, or each part of it.

    Attributes:
        first: number of the first.
        parts: how many, for as many parts; 0 for an index that has none.
    """

    first: int
    parts: int

    def nodes(
        self, graph: onnx.GraphProto, node: onnx.NodeProto, kind: int, *, stem: str
    ) -> list[onnx.NodeProto]:
        """Return what computes the least and the largest index of a node."""
        shape, extents, one = f"{stem}_shape", f"{stem}_extents", f"{stem}_one"
        places = [[self.first], [self.first + self.parts]] if self.parts else [self.first]
        names = [f"{stem}_place{number}" for number in range(len(places))]
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        graph.initializer.extend(
            numpy_helper.from_array(np.array(place, np.int64), name)
            for place, name in zip(places, names, strict=True)
        )
        graph.initializer.append(numpy_helper.from_array(np.array(1, dtype), one))
        return [
            helper.make_node("Shape", [node.input[0]], [shape]),
            helper.make_node("Slice" if self.parts else "Gather", [shape, *names], [extents]),
            helper.make_node("Cast", [extents], [f"{stem}_counts"], to=kind),
            helper.make_node("Neg", [f"{stem}_counts"], [f"{stem}_low"]),
            helper.make_node("Sub", [f"{stem}_counts", one], [f"{stem}_high"]),
        ]


def _counted(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> _Counted | None:
    """Return which extents bound the indices of a node; ``None`` where nobody knows."""
    given = {each.name: each.i for each in node.attribute}
    if node.op_type in _ALONG_AXIS:
        return _Counted(given.get("axis", 0), 0)
    indices = shapes.get(node.input[1], [])
    if node.op_type in _OF_TUPLES and indices and indices[-1]:
        return _Counted(given.get("batch_dims", 0), indices[-1])
    return None


def _bounded(
    graph: onnx.GraphProto, node: onnx.NodeProto, counts: Sequence[int], kind: int, *, stem: str
) -> None:
    """Add the least and the largest index of a node as constants."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    lows = [-each if node.op_type in _FROM_THE_END else 0 for each in counts]
    for end, values in {"low": lows, "high": [each - 1 for each in counts]}.items():
        bound = np.array(values if node.op_type in _OF_TUPLES else values[0], dtype)
        graph.initializer.append(numpy_helper.from_array(bound, f"{stem}_{end}"))


def _reaches(node: onnx.NodeProto, constants: Collection[str], operators: Sequence[str]) -> bool:
    """Return whether a node uses indices that a run computes."""
    return (
        node.op_type in operators
        and node.domain in STANDARD_DOMAINS
        and node.input[_PLACE[node.op_type]] not in constants
    )


def _reaches_anywhere(
    graph: onnx.GraphProto, constants: Collection[str], operators: Sequence[str]
) -> bool:
    return any(
        _reaches(node, constants, operators)
        or any(_reaches_anywhere(body, (), operators) for body in bodies(node))
        for node in graph.node
    )


def _forget(node: onnx.NodeProto) -> None:
    """Drop the extents that bodies claim: nothing holds a run to them, and runtimes believe them.

    How many there are stays, which OpenVINO has to know.
    """
    for body in bodies(node):
        del body.value_info[:]
        for item in (*body.input, *body.output):
            for extent in item.type.tensor_type.shape.dim:
                extent.Clear()
        for inner in body.node:
            _forget(inner)


def _known(graph: onnx.GraphProto, around: _Known) -> _Known:
    shapes = {item.name: list(item.dims) for item in graph.initializer}
    for item in (*graph.input, *graph.value_info, *graph.output):
        kind = item.type.tensor_type
        if kind.HasField("shape"):
            shapes.setdefault(item.name, [each.dim_value for each in kind.shape.dim])
    return _Known({**around.types, **tensor_types(graph)}, {**around.shapes, **shapes})


def _counts(node: onnx.NodeProto, shapes: Mapping[str, Sequence[int]]) -> Sequence[int]:
    """Return in how many places an index, or each part of it, may point; 0 where nobody knows."""
    data = shapes.get(node.input[0], [])
    given = {each.name: each.i for each in node.attribute}
    if node.op_type == "RoiAlign":  # into images
        return data[:1]
    if node.op_type == "MaxUnpool":  # into all that it makes
        return [math.prod(shapes.get(node.output[0], [0]))]
    if node.op_type in _ALONG_AXIS:
        axis = given.get("axis", 0)
        return [data[axis]] if -len(data) <= axis < len(data) else []
    indices = shapes.get(node.input[1], [])
    first, parts = given.get("batch_dims", 0), indices[-1] if indices else 0
    return data[first : first + parts]


def _not_known(node: onnx.NodeProto, runtime: str) -> ModelError:
    return ModelError(
        f"{runtime} would not notice where an index of {node.op_type} that a run computes points "
        "beyond a tensor whose extents each frame decides",
        where="model",
        value=node.name or node.output[0],
        expected="indices into tensors of fixed extents",
        rule=Rule.MODEL_VALID,
        hint="Export it with fixed extents, or use another backend for this network",
    )
