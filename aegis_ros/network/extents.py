"""How large outputs can be whose extents depend on what a network finds.

A network is looked at for frames of the largest size. What its extents then still depend on is the
data. Operators that make such extents have a limit (a suppression its number of boxes, ``NonZero``
the number of elements): each is taken for a source of tensors as large as that, and what follows
is inferred from there. A limit inside the branches of an ``If`` counts; the bodies of loops are not
looked into.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from aegis_ros.network.cut import model_like, tensors_read
from aegis_ros.network.operators import STANDARD_DOMAINS

__all__ = ["Extents", "finding", "largest_extents"]

Extents = tuple[int | None, ...]
"""Extents of a tensor; ``None`` for what is not known."""

_MOST_ROUNDS = 16  # data that decides over data that decides over data …
_FEWER_INSIDE = 4  # times fewer in each body of a body
_FINDING = ("Compress", "NonMaxSuppression", "NonZero", "Unique")
_Tensors = dict[str, tuple[int, Extents]]  # by name: element type and extents


def finding(model: onnx.ModelProto) -> list[str]:
    """Return the tensors inside a network that are as long as what it finds.

    What an exporter fills up to a fixed number of results was found by one of them.
    """
    outputs = {item.name for item in model.graph.output}
    return [
        node.output[0]
        for node in model.graph.node
        if node.op_type in _FINDING
        and node.domain in STANDARD_DOMAINS
        and node.output[0] not in outputs
    ]


def largest_extents(
    model: onnx.ModelProto, scratch: Path, rounds: int = _MOST_ROUNDS
) -> tuple[dict[str, Extents], dict[str, Extents]]:
    """Return the extents of a network's outputs: as far as they are fixed, and at most.

    Args:
        model: a network whose inputs have fixed extents.
        scratch: folder for files that are removed again.
        rounds: how often limits may follow from limits.

    Returns:
        By name of an output: its extents, ``None`` where they depend on the data; and the largest
        they can be, ``None`` where nothing limits them. Outputs of unknown rank are left out.
    """
    known = _tensors(model)
    outputs = [item.name for item in model.graph.output]
    if not all(_fixed(known, name) for name in outputs):
        model = _folded(model, scratch)
        known = _tensors(model)
    fixed = {name: known[name][1] for name in outputs if name in known}
    for _ in range(rounds):
        done = all(_fixed(known, name) for name in outputs)
        if done or not _bound(model, known, scratch, rounds=rounds // _FEWER_INSIDE):
            break
        model = _folded(model, scratch)
        known = _tensors(model)
    return fixed, {name: known[name][1] for name in outputs if name in known}


def _fixed(known: _Tensors, name: str) -> bool:
    return name in known and None not in known[name][1]


def _tensors(model: onnx.ModelProto) -> _Tensors:
    """Return what shape inference knows of every tensor."""
    inferred = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    graph = inferred.graph
    found: _Tensors = {
        item.name: (item.data_type, tuple(int(extent) for extent in item.dims))
        for item in graph.initializer
    }
    # A source that is an output, too, is known as a source only.
    for item in (*graph.output, *graph.value_info, *graph.input):
        tensor = item.type.tensor_type
        if tensor.HasField("shape"):
            extents = tuple(
                dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim
            )
            found[item.name] = tensor.elem_type, extents
    return found


def _folded(model: onnx.ModelProto, scratch: Path) -> onnx.ModelProto:
    """Return a network whose constant operators are computed, shapes of fixed extents among them.

    What the runtime does not take stays as it is.
    """
    import onnxruntime

    path = scratch / "folded.onnx"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return onnx.load_model(str(path))
    except Exception:  # its exceptions have no common type; bounds are only harder to find
        return model
    finally:
        path.unlink(missing_ok=True)


def _bound(model: onnx.ModelProto, known: _Tensors, scratch: Path, *, rounds: int) -> bool:
    """Make sources of operators whose results have a limit that is known; say whether any was."""
    graph = model.graph
    constants = {item.name: item for item in graph.initializer}
    kept: list[onnx.NodeProto] = []
    changed = False
    for node in graph.node:
        limit = _LIMITS.get(node.op_type) if node.domain in STANDARD_DOMAINS else None
        unknown = any(name and not _fixed(known, name) for name in node.output)
        made: list[tuple[int, tuple[int, ...]]] = []
        if unknown and limit is not None:
            made = list(limit(node, known, constants))
        elif unknown and node.op_type == "If":
            made = _larger_branch(node, known, model, scratch, rounds=rounds)
        if not made or len(made) < len([name for name in node.output if name]):
            kept.append(node)
            continue
        for name, (kind, extents) in zip(filter(None, node.output), made, strict=False):
            graph.input.append(helper.make_tensor_value_info(name, kind, extents))
        changed = True
    if changed:
        whole = onnx.GraphProto()
        whole.node.extend(kept)
        del graph.node[:]
        graph.node.extend(whole.node)
    return changed


def _larger_branch(
    node: onnx.NodeProto, known: _Tensors, model: onnx.ModelProto, scratch: Path, *, rounds: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Return what an ``If`` gives at most; nothing where one of its branches has no limit."""
    branches: list[list[tuple[int, tuple[int, ...]]]] = []
    for body in (each.g for each in node.attribute if each.HasField("g")):
        alone = _alone(body, known, model)
        if alone is None:
            return []
        _, most = largest_extents(alone, scratch, rounds)
        made = []
        for item in body.output:
            whole = _whole(most.get(item.name))
            if whole is None:
                return []
            made.append((item.type.tensor_type.elem_type, whole))
        branches.append(made)
    found = []
    for one, other in zip(*branches, strict=True):
        if one[0] != other[0] or len(one[1]) != len(other[1]):
            return []
        found.append((one[0], tuple(map(max, one[1], other[1]))))
    return found


def _alone(
    body: onnx.GraphProto, known: _Tensors, model: onnx.ModelProto
) -> onnx.ModelProto | None:
    """Return a body as a network of its own; ``None`` where it reads what nobody knows."""
    constants = {item.name: item for item in model.graph.initializer}
    made = {name for node in body.node for name in node.output}
    made |= {item.name for item in body.initializer}
    read = [name for node in body.node for name in tensors_read(node)]
    read += [item.name for item in body.output]
    taken = dict.fromkeys(name for name in read if name not in made)
    if not all(name in constants or name in known for name in taken):
        return None
    graph = helper.make_graph(
        list(body.node),
        body.name or "body",
        [
            helper.make_tensor_value_info(name, *known[name])
            for name in taken
            if name not in constants
        ],
        list(body.output),
        [*body.initializer, *(constants[name] for name in taken if name in constants)],
    )
    return model_like(model, graph)


def _whole(extents: Extents | None) -> tuple[int, ...] | None:
    if extents is None:
        return None
    whole = tuple(extent for extent in extents if extent is not None)
    return whole if len(whole) == len(extents) else None


_Made = Iterator[tuple[int, tuple[int, ...]]]
_Constants = dict[str, onnx.TensorProto]


def _of(known: _Tensors, name: str) -> tuple[int, tuple[int, ...]] | None:
    """Return element type and extents of a tensor; ``None`` where one of them is not known."""
    if name not in known:
        return None
    kind, extents = known[name]
    whole = _whole(extents)
    return None if whole is None else (kind, whole)


def _number(constants: _Constants, name: str) -> int | None:
    if name not in constants:
        return None
    values = np.asarray(numpy_helper.to_array(constants[name])).reshape(-1)
    return int(values[0]) if values.size == 1 else None


def _attribute(node: onnx.NodeProto, name: str) -> int | None:
    return next((each.i for each in node.attribute if each.name == name), None)


def _suppression(node: onnx.NodeProto, known: _Tensors, constants: _Constants) -> _Made:
    """Boxes [batch, N, 4], scores [batch, classes, N]: so many of each class, [any, 3]."""
    scores = _of(known, node.input[1])
    if scores is None or len(scores[1]) != 3:
        return
    batch, classes, boxes = scores[1]
    most = _number(constants, node.input[2]) if len(node.input) > 2 else 0
    yield TensorProto.INT64, (batch * classes * min(boxes, boxes if most is None else most), 3)


def _nonzero(node: onnx.NodeProto, known: _Tensors, constants: _Constants) -> _Made:
    taken = _of(known, node.input[0])
    if taken is not None:
        yield TensorProto.INT64, (len(taken[1]), math.prod(taken[1]))


def _compress(node: onnx.NodeProto, known: _Tensors, constants: _Constants) -> _Made:
    taken = _of(known, node.input[0])
    if taken is not None:
        kind, extents = taken
        whole = _attribute(node, "axis") is None
        yield kind, (math.prod(extents),) if whole else extents


def _unique(node: onnx.NodeProto, known: _Tensors, constants: _Constants) -> _Made:
    taken = _of(known, node.input[0])
    if taken is None:
        return
    kind, extents = taken
    axis = _attribute(node, "axis")
    count = math.prod(extents) if axis is None else extents[axis]
    yield kind, (count,) if axis is None else extents
    for _ in node.output[1:]:
        yield TensorProto.INT64, (count,)


def _top(node: onnx.NodeProto, known: _Tensors, constants: _Constants) -> _Made:
    taken = _of(known, node.input[0])
    if taken is not None:
        yield taken
        yield TensorProto.INT64, taken[1]


def _slice(node: onnx.NodeProto, known: _Tensors, constants: _Constants) -> _Made:
    taken = _of(known, node.input[0])
    if taken is not None:
        yield taken


_LIMITS: dict[str, Callable[[onnx.NodeProto, _Tensors, _Constants], _Made]] = {
    "Compress": _compress,
    "NonMaxSuppression": _suppression,
    "NonZero": _nonzero,
    "Slice": _slice,
    "TopK": _top,
    "Unique": _unique,
}
