"""Reads, checks and normalises an ONNX network, and puts preprocessing in front of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference, version_converter

from aegis_ros.errors import ModelError, load_error
from aegis_ros.network.binding import bind_inputs, dtype_of, fed_inputs, shape_of
from aegis_ros.network.contents import other_contents
from aegis_ros.network.feed import Bound, Feed
from aegis_ros.network.fuse import names_beside, preprocessing_graphs
from aegis_ros.network.locate import MOST_BYTES
from aegis_ros.network.model_file import hashed_content
from aegis_ros.network.operators import STANDARD_DOMAINS
from aegis_ros.network.outline import LARGE_BYTES
from aegis_ros.network.plain_text import plain
from aegis_ros.network.runtime_text import checker_failure
from aegis_ros.network.tensor import TensorInfo
from aegis_ros.network.without_weights import content_without_weights, file_without_weights
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import (
    MemoryUsedUp,
    RankUnknown,
    TooLarge,
    WeightsElsewhere,
)

__all__ = [
    "at_largest",
    "checked_graph",
    "estimate_bytes",
    "estimate_flops",
    "fuse",
    "fuse_bound",
    "load_graph",
    "node_flops",
    "read_graph",
    "require_valid_without_weights",
    "tensor_infos",
]

MAX_OPERATORS = 200_000  # the largest exports of language models have a tenth
_FUSE_OPSET = 17
# What the checker has accepted runs in this version of the format, too, and runtimes lag behind.
_NEWEST_FORMAT = 10
_OLDEST_FUSABLE_OPSET = 13
_MOVES = frozenset(
    [
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Flatten",
        "Gather",
        "Identity",
        "Pad",
        "Reshape",
        "Shape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    ]
)


def load_graph(path: Path) -> onnx.ModelProto:
    """Return what :func:`checked_graph` does, of a file that nobody hashed.

    Raises:
        ModelError: as :func:`checked_graph`.
        OSError: it cannot be read.
    """
    return checked_graph(path.read_bytes(), path)


def read_graph(descriptor: int, digest: str, path: Path) -> onnx.ModelProto:
    """Return what :func:`checked_graph` does, of an open file that was hashed.

    What is wrong with a network beside its weights is found before those are read.

    Args:
        descriptor: of the file.
        digest: SHA-256 in hex that it had.
        path: of the file, for messages; it is not opened.

    Raises:
        ModelError: as :func:`checked_graph`; or the contents have changed since.
    """
    require_valid_without_weights(descriptor, path)
    return checked_graph(hashed_content(descriptor, digest, path.name), path)


def require_valid_without_weights(descriptor: int, path: Path) -> None:
    """Refuse an open file that is no valid network, whatever its weights are; reads little of it.

    Args:
        descriptor: of the file.
        path: of the file, for messages; it is not opened.

    Raises:
        ModelError: as :func:`checked_graph`.
    """
    size = os.fstat(descriptor).st_size
    if size > LARGE_BYTES:
        light = file_without_weights(descriptor, size, path.name)
        if light is not None:
            _require_valid(_parsed(light, path), path, size, whole=False)


def checked_graph(content: bytes, path: Path) -> onnx.ModelProto:
    """Return a checked network whose inputs are only what must be fed.

    Args:
        content: of the file.
        path: of the file, for messages; it is not opened.

    Raises:
        ModelError: code ``model_valid``: not ONNX, not valid, or weights in other files.
    """
    size = len(content)
    light = content_without_weights(content, path.name) if size > LARGE_BYTES else None
    if light is not None:
        _require_valid(_parsed(light, path), path, size, whole=False)
    model = _parsed(content, path)
    if light is None:
        _require_valid(model, path, size, whole=True)
    else:
        _find_output_ranks(model)
    model.ir_version = min(model.ir_version, _NEWEST_FORMAT)
    _strip_initializer_inputs(model)
    return model


def _parsed(content: bytes, path: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model_from_string(content)
    except Exception as error:
        failure = MemoryUsedUp() if isinstance(error, MemoryError) else other_contents(content)
        raise load_error(failure, ModelError, path.name) from error


def _require_valid(model: onnx.ModelProto, path: Path, size: int, *, whole: bool) -> None:
    """Refuse a network that is not valid, and find the ranks of a whole one's outputs.

    Args:
        model: the network.
        path: of the file, for messages.
        size: of the file in bytes.
        whole: whether it has its weights, of whose shapes those of outputs follow.
    """
    operators = _count(model.graph.node) + sum(_count(each.node) for each in model.functions)
    if operators > MAX_OPERATORS:
        raise ModelError(
            "the network has too many operators",
            where="model",
            value=f"{operators:,}",
            expected=f"at most {MAX_OPERATORS:,}",
            hint="Simplify it, for example with onnxsim, or export its loops as Loop operators",
            rule=Rule.MODEL_VALID,
        )
    _require_weights_inside(model, path, size)
    _require_input_ranks(model)
    if whole:
        _find_output_ranks(model)
    else:
        for item in filter(_rank_missing, model.graph.output):
            item.type.tensor_type.shape.dim.add()  # the checker wants one, whichever it is
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise load_error(checker_failure(error), ModelError, path.name) from error


def _require_weights_inside(model: onnx.ModelProto, path: Path, size: int) -> None:
    """Refuse weights in other files, with what can be done about that."""
    files: dict[str, int] = {}
    for tensor in _all_tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        name = place.get("location", "")
        files[name] = files.get(name, 0) + math.prod(tensor.dims) * _itemsize(tensor.data_type)
    if not files:
        return
    total = size + sum(files.values())
    if total > MOST_BYTES:
        raise load_error(TooLarge(total, MOST_BYTES), ModelError, path.name)
    # Looked for by name only: a file that may be anywhere is neither opened nor confirmed.
    plain = tuple(name for name in files if name == Path(name).name)
    missing = tuple(name for name in plain if not (path.parent / name).is_file())
    raise load_error(WeightsElsewhere(path.name, tuple(files), missing), ModelError)


def _require_input_ranks(model: onnx.ModelProto) -> None:
    """Refuse inputs of unknown rank; what an initializer stands for is not fed, and needs none."""
    given = {tensor.name for tensor in model.graph.initializer}
    for item in model.graph.input:
        if item.name not in given and _rank_missing(item):
            raise load_error(RankUnknown("input", item.name), ModelError)


def _find_output_ranks(model: onnx.ModelProto) -> None:
    """Infer the shapes of outputs of unknown rank; refuse those whose rank stays unknown."""
    unknown = [item for item in model.graph.output if _rank_missing(item)]
    if not unknown:
        return
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except Exception as error:
        raise load_error(checker_failure(error), ModelError) from error
    found = {item.name: item for item in inferred.graph.output}
    for item in unknown:
        if _rank_missing(found[item.name]):
            raise load_error(RankUnknown("output", item.name), ModelError)
        item.type.CopyFrom(found[item.name].type)


def _rank_missing(item: onnx.ValueInfoProto) -> bool:
    return item.type.HasField("tensor_type") and not item.type.tensor_type.HasField("shape")


def fuse(
    model: onnx.ModelProto, feeds: Sequence[Feed], dimensions: Mapping[str, int]
) -> onnx.ModelProto:
    """Return the network with preprocessing in front; binds its inputs first.

    Raises:
        ModelError: code ``model_valid``: the feeds and the network do not fit together.
    """
    return fuse_bound(model, feeds, bind_inputs(model, feeds, dimensions))


def fuse_bound(
    model: onnx.ModelProto, feeds: Sequence[Feed], bounds: Sequence[Bound]
) -> onnx.ModelProto:
    """Return the network with preprocessing in front of inputs that are bound.

    The result has one input for each feed, in their order; see
    :func:`~aegis_ros.network.fuse.names_beside`. All names of the network stay as they are.

    Raises:
        ModelError: code ``model_valid``: the feeds and the network do not fit together.
    """
    names = [item.name for item in fed_inputs(model, feeds)]
    _forget_inferred_shapes(model)
    model = _to_fusable_opset(model)
    if feeds:
        shapes = {item.name: shape_of(item.type.tensor_type) for item in model.graph.input}
        called = names_beside(_names(model), names)
        front = preprocessing_graphs(feeds, bounds, [shapes[name] for name in names], called)
        _put_in_front(front, model.graph)
    try:
        return shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    except Exception as error:
        raise load_error(checker_failure(error), ModelError) from error


def at_largest(model: onnx.ModelProto, feeds: Sequence[Feed]) -> onnx.ModelProto:
    """Return a fused network for frames of their largest shape only, to estimate what it takes."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    _forget_inferred_shapes(bound)
    for item, feed in zip(bound.graph.input, feeds, strict=True):
        for dim, extent in zip(item.type.tensor_type.shape.dim, feed.max_shape, strict=True):
            dim.dim_value = extent
    return shape_inference.infer_shapes(bound, strict_mode=False, data_prop=True)


def tensor_infos(values: object) -> tuple[TensorInfo, ...]:
    """Return name, dtype and shape of graph inputs or outputs."""
    return tuple(
        TensorInfo(item.name, dtype_of(item.type.tensor_type), shape_of(item.type.tensor_type))
        for item in values  # type: ignore[attr-defined]
    )


def estimate_bytes(model: onnx.ModelProto) -> tuple[int, int]:
    """Return (weight bytes, peak activation bytes) of a network with inferred shapes.

    The peak is that of running the nodes in file order and freeing each tensor after its last
    use; extents that are not known count as 1.
    """
    graph = model.graph
    weights = sum(
        int(np.prod(tensor.dims, dtype=np.int64)) * _itemsize(tensor.data_type)
        for tensor in _tensors(graph)
    )
    sizes: dict[str, int] = {}
    for item in [*graph.value_info, *graph.input, *graph.output]:
        extents = [
            extent if isinstance(extent, int) else 1 for extent in shape_of(item.type.tensor_type)
        ]
        sizes[item.name] = int(np.prod(extents, dtype=np.int64)) * _itemsize(
            item.type.tensor_type.elem_type
        )
    last_use = {name: index for index, node in enumerate(graph.node) for name in node.input}
    ends: dict[int, list[str]] = {}
    for name, index in last_use.items():
        ends.setdefault(index, []).append(name)
    live = peak = 0
    produced: set[str] = set()
    for index, node in enumerate(graph.node):
        for name in node.output:
            live += sizes.get(name, 0)
            produced.add(name)
        peak = max(peak, live)
        live -= sum(sizes.get(name, 0) for name in ends.get(index, []) if name in produced)
    return weights, peak


def estimate_flops(model: onnx.ModelProto) -> int:
    """Return the floating-point operations of one run of a network with inferred shapes."""
    return sum(node_flops(model))


def node_flops(model: onnx.ModelProto) -> list[int]:
    """Return the floating-point operations of each operator of a network with inferred shapes.

    Counts convolutions and matrix products, two operations for each multiply-add, and one for
    each element of every other float output; extents that are not known count as 1.
    """
    graph = model.graph
    shapes = {item.name: tuple(item.dims) for item in graph.initializer}
    for item in [*graph.value_info, *graph.input, *graph.output]:
        extents = shape_of(item.type.tensor_type)
        shapes[item.name] = tuple(one if isinstance(one, int) else 1 for one in extents)
    return [_flops(node, shapes) for node in graph.node]


def _flops(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    elements = math.prod(shapes.get(node.output[0], ())) if node.output else 0
    operands = [shapes.get(name, ()) for name in node.input]
    if node.op_type == "Conv" and len(operands) > 1:
        return 2 * elements * math.prod(operands[1][1:])
    if node.op_type == "ConvTranspose" and len(operands) > 1:
        return 2 * math.prod(operands[0]) * math.prod(operands[1][1:])
    if node.op_type == "MatMul" and operands[0]:
        return 2 * elements * operands[0][-1]
    if node.op_type == "Gemm" and len(operands[0]) == 2:
        transposed = any(one.name == "transA" and one.i for one in node.attribute)
        return 2 * elements * operands[0][0 if transposed else 1]
    return 0 if node.op_type in _MOVES else elements


def _forget_inferred_shapes(model: onnx.ModelProto) -> None:
    """Drop shapes that were true only for the extents the exporter used."""
    del model.graph.value_info[:]
    for index, item in enumerate(model.graph.output):
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            dim.Clear()
            dim.dim_param = f"output{index}_{axis}"


def _to_fusable_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    opset = next(
        (item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS), 0
    )
    if opset >= _OLDEST_FUSABLE_OPSET:
        return model
    try:
        return version_converter.convert_version(model, _FUSE_OPSET)
    except Exception as error:
        raise ModelError(
            f"the network uses opset {opset} and cannot be brought to {_FUSE_OPSET} "
            f"({plain(str(error))})",
            where="model",
            expected=f"opset {_OLDEST_FUSABLE_OPSET} or later",
            hint=f"Export the network again with opset {_FUSE_OPSET}",
            rule=Rule.MODEL_VALID,
        ) from error


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Return every constant of a graph, those inside nodes and subgraphs included."""
    for each in _graphs(graph):
        yield from each.initializer
        yield from _in_nodes(each.node)


def _all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Return every tensor of a file, those of functions and the parts of sparse ones included."""
    bodies = [*_graphs(model.graph)]
    for function in model.functions:
        yield from _in_nodes(function.node)
        bodies += _inside(function.node)
    for graph in bodies:
        yield from graph.initializer
        yield from _in_nodes(graph.node)
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def _in_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """Return the tensors that nodes have as attributes."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            for sparse in attribute.sparse_tensors:
                yield from (sparse.values, sparse.indices)


def _count(nodes: Iterable[onnx.NodeProto]) -> int:
    """Return how many operators there are, those inside subgraphs included."""
    total = 0
    for node in nodes:
        total += 1
        for attribute in node.attribute:
            if attribute.HasField("g"):
                total += _count(attribute.g.node)
            total += sum(_count(subgraph.node) for subgraph in attribute.graphs)
    return total


def _strip_initializer_inputs(model: onnx.ModelProto) -> None:
    """Constants listed as inputs keep runtimes from folding them; list only what is fed."""
    constants = {tensor.name for tensor in model.graph.initializer}
    fed = [item for item in model.graph.input if item.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(fed)
    model.ir_version = max(model.ir_version, 4)


def _put_in_front(front: onnx.GraphProto, graph: onnx.GraphProto) -> None:
    """Have a graph begin with another one, whose outputs are named like the inputs they feed."""
    front.node.extend(graph.node)
    del graph.node[:]
    graph.node.extend(front.node)
    del graph.input[:]
    graph.input.extend(front.input)
    graph.initializer.extend(front.initializer)


def _names(model: onnx.ModelProto) -> set[str]:
    """Return every name of a value, a node or an extent that a network uses."""
    found = {
        dim.dim_param
        for item in (*model.graph.input, *model.graph.output)
        for dim in item.type.tensor_type.shape.dim
    }
    for graph in _graphs(model.graph):
        found.update(item.name for item in (*graph.input, *graph.output, *graph.initializer))
        found.update(tensor.values.name for tensor in graph.sparse_initializer)
        for node in graph.node:
            found.update((node.name, *node.input, *node.output))
    return found


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Return a graph and those inside its nodes (bodies of If, Loop and Scan)."""
    yield graph
    yield from _inside(graph.node)


def _inside(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    """Return the graphs inside nodes, at every depth."""
    for node in nodes:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _itemsize(element_type: int) -> int:
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(element_type)).itemsize)
