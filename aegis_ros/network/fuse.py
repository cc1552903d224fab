"""Builds preprocessing as ONNX operators, so that a network takes the camera's bytes.

The cost of preprocessing is then inside the network's WCET, and no second copy of the frame is
made. :func:`aegis_ros.network.reference.preprocess` is the same arithmetic in OpenCV.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.network.feed import Bound, Feed
from aegis_ros.spec import Color, Layout, PreprocessSpec, ResizeMode

__all__ = ["DTYPES", "LUMA", "Names", "names_beside", "preprocessing_graph", "preprocessing_graphs"]

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as OpenCV's RGB2GRAY

_ONNX_TYPES = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "uint16": TensorProto.UINT16,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
}
DTYPES = tuple(_ONNX_TYPES)  # of inputs that can be fed


@dataclass(frozen=True, slots=True)
class Names:
    """What the preprocessing of one input is called.

    Attributes:
        frame: the input that takes the frames.
        prefix: what every other name begins with, but for the output's.
        output: the output.
    """

    frame: str = "frame"
    prefix: str = "pre"
    output: str = "pre_output"


def names_beside(taken: Collection[str], inputs: Sequence[str]) -> list[Names]:
    """Return names for the preprocessing of each input that a network does not use itself.

    Frames are fed to ``frame``, or to ``frame0``, ``frame1`` and so on where there are several;
    what preprocessing makes bears the name of the network's own input that it feeds.

    Args:
        taken: every name that the network uses.
        inputs: names of its inputs.
    """
    numbers = [""] if len(inputs) == 1 else [str(index) for index in range(len(inputs))]
    for attempt in itertools.count():
        tag = f"_{attempt}" if attempt else ""
        found = [
            Names(f"frame{tag}{number}", f"pre{tag}{number}", name)
            for number, name in zip(numbers, inputs, strict=True)
        ]
        ours = tuple(f"{each}_" for names in found for each in (names.frame, names.prefix))
        if not any(name.startswith(ours) for name in taken) and not (
            {names.frame for names in found} & set(taken)
        ):
            return found
    raise AssertionError("names do not run out")


@dataclass
class _Builder:
    """Collects nodes and constants; the result of each step is the input of the next."""

    names: Names
    current: str = field(init=False)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.current = self.names.frame

    def constant(self, values: object, dtype: type[np.generic]) -> str:
        name = f"{self.names.prefix}_const_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{self.names.prefix}_{len(self.nodes)}_{operator.lower()}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def then(self, operator: str, *others: str, **attributes: Any) -> None:
        self.current = self.node(operator, [self.current, *others], **attributes)

    def graph(
        self, frame: onnx.ValueInfoProto, dtype: str, shape: list[int | str]
    ) -> onnx.GraphProto:
        """Return what was built, from ``frame`` to the output of the preprocessing."""
        name, end = self.names.output, f"{self.names.prefix}_end"
        self.nodes.append(helper.make_node("Identity", [self.current], [name], name=end))
        output = helper.make_tensor_value_info(name, _ONNX_TYPES[dtype], shape)
        return helper.make_graph(
            self.nodes, "preprocessing", [frame], [output], initializer=self.constants
        )


def preprocessing_graphs(
    feeds: Sequence[Feed],
    bounds: Sequence[Bound],
    shapes: Sequence[tuple[int | str, ...]],
    names: Sequence[Names],
) -> onnx.GraphProto:
    """Return one graph of the preprocessing of all inputs.

    Args:
        feeds: what feeds each input.
        bounds: what is known of the frames of each.
        shapes: shape of each input of the network.
        names: what the preprocessing of each is called.
    """
    parts = [
        preprocessing_graph(feed, bound, shape, called)
        for feed, bound, shape, called in zip(feeds, bounds, shapes, names, strict=True)
    ]
    whole = parts[0]
    for part in parts[1:]:
        whole.node.extend(part.node)
        whole.input.extend(part.input)
        whole.output.extend(part.output)
        whole.initializer.extend(part.initializer)
    return whole


def preprocessing_graph(
    feed: Feed,
    bound: Bound,
    input_shape: tuple[int | str, ...],
    names: Names,
) -> onnx.GraphProto:
    """Return the graph from the frame to the network's input.

    Images: the frame is uint8 [height, width, 3] RGB (float32 [height, width] for depth), both
    extents free where frames of several sizes fit; the output is [1, C, h, w] or [1, h, w, C] of
    ``spec.dtype``. A batch is uint8 [N, h, w, 3] in the network's own size; the output is
    [N, C, h, w] or [N, h, w, C]. Points, ranges and tensors are passed on, with a leading batch
    extent where the network has one, points and ranges in the number that it takes.

    Args:
        feed: what feeds the input.
        bound: what is known of its frames.
        input_shape: shape of the network's input.
        names: what is made is called.
    """
    spec = feed.preprocess
    if spec.layout in (Layout.POINTS, Layout.RANGES, Layout.TENSOR):
        return _pass_through(feed, bound, input_shape, names)
    depth, size = spec.color is Color.DEPTH, bound.size
    name = names.frame
    build = _Builder(names)
    frame_shape = _extents(bound, [f"{name}_height", f"{name}_width"])
    count: int | str = 1
    if feed.batch:
        assert size is not None
        count = input_shape[0] if isinstance(input_shape[0], int) else f"{name}_count"
        frame_shape = [count, *size]
    if not depth:
        frame_shape.append(3)
    frame = helper.make_tensor_value_info(
        name, TensorProto.FLOAT if depth else TensorProto.UINT8, frame_shape
    )
    if not feed.batch:
        build.then("Unsqueeze", build.constant([0, 3] if depth else [0], np.int64))
    channels = 1 if depth else 3
    if size is not None and spec.resize is not ResizeMode.NONE and not feed.batch:
        _resize(build, spec, size, channels)
    if spec.color is Color.BGR:
        build.then("Gather", build.constant([2, 1, 0], np.int64), axis=3)
    raw = spec.dtype == "uint8" and spec.color in (Color.RGB, Color.BGR) and _keeps_values(spec)
    if not raw:
        if not depth:
            build.then("Cast", to=TensorProto.FLOAT)
        if spec.color is Color.MONO:
            build.then("Mul", build.constant(LUMA, np.float32))
            build.then("ReduceSum", build.constant([3], np.int64), keepdims=1)
            channels = 1
        _normalise(build, spec, channels)
    if spec.layout is Layout.NCHW:
        build.then("Transpose", perm=[0, 3, 1, 2])
    if not raw:
        _convert(build, spec.dtype)
    height, width = size if size is not None else (f"{name}_height", f"{name}_width")
    return build.graph(
        frame,
        spec.dtype,
        [count, channels, height, width]
        if spec.layout is Layout.NCHW
        else [count, height, width, channels],
    )


def _extents(bound: Bound, names: Sequence[str]) -> list[int | str]:
    """Return the first extents of a frame: those that all frames have, and names of the others."""
    known = zip(bound.least or (0,) * len(names), bound.most or (0,) * len(names), strict=True)
    return [
        low if low and low == high else name
        for name, (low, high) in zip(names, known, strict=False)
    ]


def _pass_through(
    feed: Feed, bound: Bound, input_shape: tuple[int | str, ...], names: Names
) -> onnx.GraphProto:
    spec, name = feed.preprocess, names.frame
    if spec.layout is Layout.POINTS:
        extents = [*_extents(bound, [f"{name}_points"]), 4]
    elif spec.layout is Layout.RANGES:
        extents = _extents(bound, [f"{name}_ranges"])
    else:
        extents = _extents(bound, [f"{name}_extent{axis}" for axis, _ in enumerate(bound.largest)])
    frame = helper.make_tensor_value_info(name, TensorProto.FLOAT, extents)
    build = _Builder(names)
    shape = list(extents)
    if spec.layout is not Layout.TENSOR:
        shape = _bring_to_number(build, spec, input_shape[len(input_shape) - len(extents) :], shape)
    if len(input_shape) == len(extents) + 1:
        build.then("Unsqueeze", build.constant([0], np.int64))
        shape = [1, *shape]
    _normalise(build, spec, 1)
    _convert(build, spec.dtype)
    return build.graph(frame, spec.dtype, shape)


def _bring_to_number(
    build: _Builder, spec: PreprocessSpec, wanted: Sequence[int | str], shape: list[int | str]
) -> list[int | str]:
    """Give the network as many points or ranges as it takes, with as many numbers of each.

    Args:
        build: holds points [N, 4] or ranges [N].
        spec: how they are brought to the number.
        wanted: extents that the network takes, [N, 4], [N, 3] or [N].
        shape: extents of what there is.

    Returns:
        Extents of what is made.
    """
    if len(wanted) > 1 and wanted[1] == 3:
        first = [build.constant([number], np.int64) for number in (0, 3, 1)]
        build.then("Slice", *first)
        shape = [shape[0], 3]
    count = wanted[0]
    if spec.resize not in (ResizeMode.CROP, ResizeMode.PAD, ResizeMode.SAMPLE):
        return shape
    assert isinstance(count, int)
    whole = build.node("Shape", [build.current])
    zero, one, two = (build.constant([number], np.int64) for number in (0, 1, 2))
    here = build.node("Slice", [whole, zero, one])
    number = build.constant([count], np.int64)
    if spec.resize is ResizeMode.SAMPLE:
        steps = build.node("Mul", [build.constant(np.arange(count), np.int64), here])
        build.then("Gather", build.node("Div", [steps, number]), axis=0)
    else:
        larger, smaller = (here, number) if spec.resize is ResizeMode.CROP else (number, here)
        gap = build.node("Sub", [larger, smaller])
        # Ranges keep their middle, straight ahead; clouds have none.
        ranges = spec.layout is Layout.RANGES
        before = build.node("Div", [gap, two]) if ranges else zero
        if spec.resize is ResizeMode.CROP:
            build.then("Slice", before, build.node("Add", [before, number]), zero)
        else:
            after = build.node("Sub", [gap, before])
            parts = [before, after] if ranges else [before, zero, after, zero]
            pads = build.node("Concat", parts, axis=0)
            build.then("Pad", pads, build.constant(spec.pad, np.float32), mode="constant")
    made: list[int | str] = [count, *shape[1:]]
    build.then("Reshape", build.constant(made, np.int64))
    return made


def _resize(build: _Builder, spec: PreprocessSpec, size: tuple[int, int], channels: int) -> None:
    mode = {
        "mode": str(spec.interpolation),
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "floor",
    }
    if spec.resize is ResizeMode.STRETCH:
        sizes = build.constant([1, *size, channels], np.int64)
        build.then("Resize", "", "", sizes, **mode)
        return
    # All extents are computed from the frame's own shape.
    target = build.constant(size, np.int64)
    shape = build.node("Shape", [build.current])
    extents = build.node(
        "Slice", [shape, build.constant([1], np.int64), build.constant([3], np.int64)]
    )
    if spec.resize is ResizeMode.CROP:
        half = build.constant(2, np.int64)
        start = build.node("Div", [build.node("Sub", [extents, target]), half])
        ends = build.node("Add", [start, target])
        build.then("Slice", start, ends, build.constant([1, 2], np.int64))
        build.then("Reshape", build.constant([1, *size, channels], np.int64))
        return
    if spec.resize is ResizeMode.PAD:
        _pad_to(build, spec, size, target=target, inner=extents, channels=channels)
        return
    # Letterbox: one factor for both axes.
    target_float = build.constant(size, np.float32)
    extents_float = build.node("Cast", [extents], to=TensorProto.FLOAT)
    factors = build.node("Div", [target_float, extents_float])
    factor = build.node("ReduceMin", [factors], keepdims=1)
    scaled = build.node("Mul", [extents_float, factor])
    rounded = build.node("Floor", [build.node("Add", [scaled, build.constant(0.5, np.float32)])])
    inner = build.node("Cast", [rounded], to=TensorProto.INT64)
    inner = build.node("Max", [inner, build.constant([1], np.int64)])
    inner = build.node("Min", [inner, target])
    one = build.constant([1], np.int64)
    sizes = build.node("Concat", [one, inner, build.constant([channels], np.int64)], axis=0)
    build.then("Resize", "", "", sizes, **mode)
    _pad_to(build, spec, size, target=target, inner=inner, channels=channels)


def _pad_to(
    build: _Builder,
    spec: PreprocessSpec,
    size: tuple[int, int],
    *,
    target: str,
    inner: str,
    channels: int,
) -> None:
    """Put an image into the middle of one of ``size``; the odd pixel is below and right."""
    gap = build.node("Sub", [target, inner])
    before = build.node("Div", [gap, build.constant(2, np.int64)])
    after = build.node("Sub", [gap, before])
    zero = build.constant([0], np.int64)
    pads = build.node("Concat", [zero, before, zero, zero, after, zero], axis=0)
    dtype = np.float32 if spec.color is Color.DEPTH else np.uint8
    build.then("Pad", pads, build.constant(spec.pad, dtype), mode="constant")
    # The result is static; say so, or shape inference cannot know.
    build.then("Reshape", build.constant([1, *size, channels], np.int64))


def _convert(build: _Builder, dtype: str) -> None:
    """Make the network's element type of float32; the nearest number where that is a whole one."""
    if np.issubdtype(np.dtype(dtype), np.integer):
        build.then("Round")
    if dtype != "float32":
        build.then("Cast", to=_ONNX_TYPES[dtype])


def _keeps_values(spec: PreprocessSpec) -> bool:
    return spec.scale == 1.0 and not any(spec.mean) and all(each == 1.0 for each in spec.std)


def _normalise(build: _Builder, spec: PreprocessSpec, channels: int) -> None:
    mean = np.broadcast_to(np.asarray(spec.mean[:channels] or (0.0,), np.float64), channels)
    std = np.broadcast_to(np.asarray(spec.std[:channels] or (1.0,), np.float64), channels)
    factor = spec.scale / std
    offset = -mean / std
    if np.any(factor != 1.0):
        build.then("Mul", build.constant(factor, np.float32))
    if np.any(offset != 0.0):
        build.then("Add", build.constant(offset, np.float32))
