"""Fixes the extents of a network's inputs, and says which frames fit them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

import onnx
from onnx import helper

from aegis_ros.errors import ModelError
from aegis_ros.network.feed import Bound, Feed
from aegis_ros.network.fuse import DTYPES
from aegis_ros.rationale import Rule
from aegis_ros.rationale.loading import SizeRefused
from aegis_ros.spec import Color, InputSpec, Layout, ResizeMode

__all__ = ["bind_inputs", "dtype_of", "fed_inputs", "fixed_batch", "shape_of", "size_refused"]

_IMAGE_LAYOUTS = (Layout.NCHW, Layout.NHWC)
_USUAL = InputSpec("")  # what the largest frame is where nothing is declared
_COUNTED = {Layout.POINTS: "points", Layout.RANGES: "ranges"}
_NUMBERS_OF_POINTS = (4, 3)  # x, y, z and intensity, or without it
_Shape = tuple[int | str, ...]


def bind_inputs(
    model: onnx.ModelProto, feeds: Sequence[Feed], dimensions: Mapping[str, int]
) -> list[Bound]:
    """Fix every extent of a network's inputs that can be known, in the order of the feeds.

    Raises:
        ModelError: code ``model_valid``: what feeds an input does not fit it; the text names what
            both have.
    """
    items = fed_inputs(model, feeds)
    _require_known(model.graph.input, dimensions)
    return [_bind(item, feed, dimensions) for item, feed in zip(items, feeds, strict=True)]


def fed_inputs(model: onnx.ModelProto, feeds: Sequence[Feed]) -> list[onnx.ValueInfoProto]:
    """Return the network's inputs in the order of what feeds them.

    Raises:
        ModelError: code ``model_valid``: they are not the same.
    """
    inputs = {item.name: item for item in model.graph.input}
    names = ", ".join(inputs)
    for feed in feeds:
        wanted = feed.name or feed.preprocess.input_name
        if wanted and wanted not in inputs:
            raise ModelError(
                "the network has no such input",
                where=f"inputs.{feed.name}" if feed.name else "preprocess.input_name",
                value=wanted,
                expected=f"one of {names}",
                rule=Rule.MODEL_VALID,
            )
    if len(inputs) == len(feeds):
        if len(feeds) == 1:
            return list(inputs.values())
        return [inputs[feed.name] for feed in feeds]
    if len(feeds) == 1:
        raise ModelError(
            f"the network takes {len(inputs)} inputs and one stream feeds it",
            where="model",
            value=names or "none",
            expected="one input",
            hint="Name a stream for each under `inputs`, or make the others constants "
            "(initializers) of the graph",
            rule=Rule.MODEL_VALID,
        )
    missing = ", ".join(name for name in inputs if name not in {feed.name for feed in feeds})
    raise ModelError(
        f"nothing feeds the network's input {missing}",
        where="inputs",
        value=", ".join(feed.name for feed in feeds),
        expected=names,
        hint="Name a stream for it, or make it a constant (initializer) of the graph",
        rule=Rule.MODEL_VALID,
    )


def fixed_batch(model: onnx.ModelProto, feeds: Sequence[Feed]) -> int:
    """Return how many images a network says it takes at once, where one comes; else 1."""
    for item, feed in zip(fed_inputs(model, feeds), feeds, strict=True):
        shape = shape_of(item.type.tensor_type)
        one = feed.preprocess.layout in _IMAGE_LAYOUTS and not feed.batch
        if one and shape and isinstance(shape[0], int) and shape[0] != 1:
            return shape[0]
    return 1


def size_refused(model: onnx.ModelProto, feeds: Sequence[Feed]) -> SizeRefused | None:
    """Return the first size that is asked for and is not the network's own; ``None`` for none.

    Many networks state a size and run on others as well: this is why, if it does not run.
    """
    for item, feed in zip(fed_inputs(model, feeds), feeds, strict=True):
        spec, shape = feed.preprocess, shape_of(item.type.tensor_type)
        if spec.size is None or spec.layout not in _IMAGE_LAYOUTS or len(shape) != 4:
            continue
        own = shape[2:] if spec.layout is Layout.NCHW else shape[1:3]
        if own != spec.size and all(isinstance(extent, int) for extent in own):
            where = f"{feed.where}preprocess.size"
            height, width = (int(extent) for extent in own)
            return SizeRefused(where, item.name, spec.size, (height, width))
    return None


def shape_of(tensor: onnx.TypeProto.Tensor) -> _Shape:
    """Return the extents of a tensor; those that are not fixed are names."""
    return tuple(
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else dim.dim_param or "?"
        for dim in tensor.shape.dim
    )


def dtype_of(tensor: onnx.TypeProto.Tensor) -> str:
    """Return the numpy name of a tensor's element type."""
    return str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))


def _require_known(inputs: Iterable[onnx.ValueInfoProto], dimensions: Mapping[str, int]) -> None:
    """Refuse values of extents that no input has: they would be ignored."""
    extents = {each for item in inputs for each in shape_of(item.type.tensor_type)}
    known = sorted(each for each in extents if isinstance(each, str) and each != "?")
    for name in dimensions:
        if name not in known:
            raise ModelError(
                "no input of the network has such an extent",
                where="dimensions",
                value=name,
                expected=f"one of {', '.join(known)}" if known else "none: all extents are fixed",
                hint="Remove it",
                rule=Rule.MODEL_VALID,
            )


def _bind(item: onnx.ValueInfoProto, feed: Feed, dimensions: Mapping[str, int]) -> Bound:
    tensor, layout = item.type.tensor_type, feed.preprocess.layout
    _require_dtype(item, feed)
    if layout is Layout.TENSOR:
        return _bind_tensor(item, feed, dimensions)
    shape = tuple(
        dimensions.get(extent, extent) if isinstance(extent, str) else extent
        for extent in shape_of(tensor)
    )
    if layout in _COUNTED:
        return _bind_rows(item, feed, shape)
    if len(shape) == 4:
        _require_agreement(item, feed, dimensions)
    return _bind_image(item, feed, shape)


def _require_agreement(
    item: onnx.ValueInfoProto, feed: Feed, dimensions: Mapping[str, int]
) -> None:
    """Refuse values of extents that are known from elsewhere, and are others."""
    shape, spec = shape_of(item.type.tensor_type), feed.preprocess
    height, width = spec.size or (None, None)
    wanted = (None, None, height, width) if spec.layout is Layout.NCHW else (None, height, width)
    for extent, known in zip(shape, (None if feed.batch else 1, *wanted[1:]), strict=False):
        given = dimensions.get(extent) if isinstance(extent, str) else None
        if given is not None and known is not None and given != known:
            raise ModelError(
                f"the extent {extent!r} of the network's input {item.name!r} is {known}",
                where=f"dimensions.{extent}",
                value=given,
                expected=str(known),
                hint="One image comes at a time, in the height and width of preprocess.size",
                rule=Rule.MODEL_VALID,
            )


def _require_dtype(item: onnx.ValueInfoProto, feed: Feed) -> None:
    dtype, where = dtype_of(item.type.tensor_type), f"{feed.where}preprocess.dtype"
    if dtype == feed.preprocess.dtype:
        return
    known = dtype in DTYPES
    dtype = "text" if dtype == "object" else dtype  # numpy's name of it says nothing
    raise ModelError(
        f"the network's input {item.name!r} is {dtype}",
        where=where,
        value=feed.preprocess.dtype,
        expected=dtype if known else f"an input of {', '.join(DTYPES)}",
        hint=f"Set {where}: {dtype}"
        if known
        else "Export the network with an input of type float32",
        rule=Rule.MODEL_VALID,
    )


def _bind_image(item: onnx.ValueInfoProto, feed: Feed, shape: _Shape) -> Bound:
    spec, where = feed.preprocess, f"{feed.where}preprocess"
    if len(shape) != 4:
        raise ModelError(
            f"the network's input {item.name!r} has rank {len(shape)} and shape {list(shape)}",
            where=f"{where}.layout",
            value=str(spec.layout),
            expected="rank 4 for images",
            hint="Use layout points or ranges for other inputs",
            rule=Rule.MODEL_VALID,
        )
    axes = (1, 2, 3) if spec.layout is Layout.NCHW else (3, 1, 2)
    channels = 1 if spec.color in (Color.MONO, Color.DEPTH) else 3
    found = shape[axes[0]]
    if isinstance(found, int) and found != channels:
        raise ModelError(
            f"the network's input {item.name!r} has {found} channels where "
            f"color {spec.color} and layout {spec.layout} give {channels}",
            where=f"{where}.color",
            value=str(spec.color),
            expected="rgb or bgr for 3 channels, mono or depth for 1; nhwc for channels last",
            rule=Rule.MODEL_VALID,
        )
    size = _size(item, feed, shape, axes)
    if feed.batch:
        _require_crops(item, feed, shape)
    _fix(item, {axes[0]: channels, axes[1]: size[0], axes[2]: size[1]})
    if feed.batch:
        return Bound(feed.max_shape, size)
    _fix(item, {0: 1})
    return _frames(item, feed, size)


def _size(
    item: onnx.ValueInfoProto, feed: Feed, shape: _Shape, axes: tuple[int, int, int]
) -> tuple[int, int]:
    """Return the height and width that the network takes: those of the task, or its own."""
    spec, where = feed.preprocess, f"{feed.where}preprocess"
    size: list[int] = []
    for axis, name, wanted in zip(
        axes[1:], ("height", "width"), spec.size or (None, None), strict=True
    ):
        extent = shape[axis]
        if wanted is not None:
            size.append(wanted)
        elif isinstance(extent, int):
            size.append(extent)
        else:
            raise ModelError(
                f"the {name} of the network's input {item.name!r} is not fixed ({extent!r})",
                where=f"{where}.size",
                expected="[height, width]",
                hint="Give preprocess.size, for example [480, 640]"
                + (f", or dimensions: {{{extent}: 480}}" if extent != "?" else ""),
                rule=Rule.MODEL_VALID,
            )
    if spec.size is None and spec.resize is not ResizeMode.NONE:
        # Results are mapped back to the frame with this size; a guess would put them elsewhere.
        raise ModelError(
            f"the network takes frames of {size[0]} x {size[1]} and no size is given",
            where=f"{where}.size",
            expected=f"[{size[0]}, {size[1]}]",
            hint=f"Give preprocess.size: [{size[0]}, {size[1]}], or resize: none if the frames "
            "have that size already",
            rule=Rule.MODEL_VALID,
        )
    return size[0], size[1]


def _require_crops(item: onnx.ValueInfoProto, feed: Feed, shape: _Shape) -> None:
    """Refuse a number of images that is not the number of crops there may be."""
    if isinstance(shape[0], int) and (shape[0], feed.max_shape[0]) != (1, 1):
        raise ModelError(
            f"the network's input {item.name!r} takes exactly {shape[0]} images at once, and a "
            f"result may bring 1 to {feed.max_shape[0]} crops",
            where="trigger.crops.max_crops",
            value=feed.max_shape[0],
            expected="1, for a network that takes one image" if shape[0] == 1 else "",
            hint="Export the network with a dynamic batch dimension"
            + (", or set max_crops: 1" if shape[0] == 1 else ""),
            rule=Rule.MODEL_VALID,
        )


def _frames(item: onnx.ValueInfoProto, feed: Feed, size: tuple[int, int]) -> Bound:
    """Return which frames fit an image's size the way that they are brought to it."""
    resize = feed.preprocess.resize
    declared, rest = feed.max_shape[:2], feed.max_shape[2:]
    usual = declared == _USUAL.max_size
    if resize in (ResizeMode.STRETCH, ResizeMode.LETTERBOX):
        return Bound(feed.max_shape, size)
    smaller = any(extent < own for extent, own in zip(declared, size, strict=True))
    larger = any(extent > own for extent, own in zip(declared, size, strict=True))
    takes = f"the network's input {item.name!r} takes {size[0]} x {size[1]}"
    where = f"{feed.where or 'input.'}max_size"
    if resize is ResizeMode.CROP:
        if smaller:
            _refuse(f"{takes}, and resize crop needs frames of that size at least", where, declared)
        return Bound(feed.max_shape, size, (*size, *rest), (0, 0, *rest))
    if resize is ResizeMode.PAD:
        if larger and not usual:
            _refuse(f"{takes}, and resize pad needs frames of that size at most", where, declared)
        height, width = (min(pair) for pair in zip(declared, size, strict=True))
        return Bound((height, width, *rest), size, (1, 1, *rest), (*size, *rest))
    if smaller or (larger and not usual):
        _refuse(f"{takes}, and resize none needs frames of exactly that size", where, declared)
    return Bound((*size, *rest), size, (*size, *rest), (*size, *rest))


def _refuse(problem: str, where: str, declared: tuple[int, ...]) -> NoReturn:
    raise ModelError(
        problem,
        where=where,
        value=list(declared),
        expected="the size of the frames, as large as they come",
        hint="Declare max_size as the camera publishes it, or resize: stretch or letterbox, which "
        "take frames of any size",
        rule=Rule.MODEL_VALID,
    )


def _bind_rows(item: onnx.ValueInfoProto, feed: Feed, shape: _Shape) -> Bound:
    """Bind an input of points [N, 4] or [N, 3], or of ranges [N], with or without a leading 1."""
    layout, where = feed.preprocess.layout, f"{feed.where}preprocess.layout"
    inner = 2 if layout is Layout.POINTS else 1
    if len(shape) not in (inner, inner + 1):
        raise ModelError(
            f"the network's input {item.name!r} has rank {len(shape)}",
            where=where,
            value=str(layout),
            expected="rank 2 or 3 for points, 1 or 2 for ranges",
            rule=Rule.MODEL_VALID,
        )
    if len(shape) > inner:
        if isinstance(shape[0], int) and shape[0] != 1:
            one = "cloud" if layout is Layout.POINTS else "scan"
            raise ModelError(
                f"the network's input {item.name!r} takes exactly {shape[0]} {one}s at once, and 1 "
                "comes at a time",
                where="model",
                value=list(shape),
                expected="a first extent of 1, or one that is free",
                hint="Export the network with a dynamic batch dimension",
                rule=Rule.MODEL_VALID,
            )
        _fix(item, {0: 1})
    if layout is Layout.POINTS:
        _bind_numbers(item, shape, where)
    count, rest = shape[-inner], feed.max_shape[1:]
    if isinstance(count, str):
        return _any_number(feed)
    _fix(item, {len(shape) - inner: count})
    return _number(item, feed, count, rest)


def _bind_numbers(item: onnx.ValueInfoProto, shape: _Shape, where: str) -> None:
    """Fix how many numbers a point has."""
    found = shape[-1]
    if isinstance(found, str):
        _fix(item, {len(shape) - 1: _NUMBERS_OF_POINTS[0]})
    elif found not in _NUMBERS_OF_POINTS:
        turned = len(shape) > 1 and shape[-2] in _NUMBERS_OF_POINTS
        raise ModelError(
            f"the network's input {item.name!r} takes {found} numbers of each point, and 4 (x, y, "
            "z, intensity) or 3 (x, y, z) come",
            where=where,
            value=list(shape),
            expected="a last extent of 4 or 3",
            hint="Export the network with a point in each row: transpose its input"
            if turned
            else "Export the network for x, y, z and intensity",
            rule=Rule.MODEL_VALID,
        )


def _any_number(feed: Feed) -> Bound:
    resize = feed.preprocess.resize
    if resize in (ResizeMode.CROP, ResizeMode.PAD, ResizeMode.SAMPLE):
        raise ModelError(
            f"the network takes any number of {_COUNTED[feed.preprocess.layout]}",
            where=f"{feed.where}preprocess.resize",
            value=str(resize),
            expected="it left out",
            hint="Limit them with max_points",
            rule=Rule.MODEL_VALID,
        )
    return Bound(feed.max_shape)


def _number(item: onnx.ValueInfoProto, feed: Feed, count: int, rest: tuple[int, ...]) -> Bound:
    """Return which frames fit a fixed number of points or ranges."""
    resize, declared = feed.preprocess.resize, feed.max_shape[0]
    usual = declared == _USUAL.max_points
    if resize is ResizeMode.SAMPLE:
        return Bound(feed.max_shape)
    if resize is ResizeMode.CROP:
        if declared < count:
            _refuse_number(item, feed, count, "resize crop needs that many at least")
        return Bound(feed.max_shape, None, (count, *rest), (0, *rest))
    if resize is ResizeMode.PAD:
        if declared > count and not usual:
            _refuse_number(item, feed, count, "resize pad needs that many at most")
        return Bound((min(count, declared), *rest), None, (1, *rest), (count, *rest))
    if declared < count or (declared > count and not usual):
        _refuse_number(item, feed, count, "every message needs as many")
    return Bound((count, *rest), None, (count, *rest), (count, *rest))


def _refuse_number(item: onnx.ValueInfoProto, feed: Feed, count: int, why: str) -> NoReturn:
    where, what = f"{feed.where or 'input.'}max_points", _COUNTED[feed.preprocess.layout]
    raise ModelError(
        f"the network's input {item.name!r} takes exactly {count} {what}, and {why}",
        where=where,
        value=feed.max_shape[0],
        expected=str(count),
        hint=f"Set {where}: {count} if that is what comes; else declare preprocess.resize: crop "
        "(more), pad (fewer) or sample (either)",
        rule=Rule.MODEL_VALID,
    )


def _bind_tensor(item: onnx.ValueInfoProto, feed: Feed, dimensions: Mapping[str, int]) -> Bound:
    """Bind an input that takes plain numbers, as far as its extents are known."""
    shape, declared = shape_of(item.type.tensor_type), feed.max_shape
    more = len(shape) - len(declared)
    own = shape[more:] if more in (0, 1) else ()
    fits = len(own) == len(declared) and all(
        dimensions.get(extent, wanted) == wanted if isinstance(extent, str) else extent == wanted
        for extent, wanted in zip(own, declared, strict=True)
    )
    if not fits or (more and shape[0] not in (1, "?") and isinstance(shape[0], int)):
        raise ModelError(
            f"the network's input {item.name!r} has shape {list(shape)}",
            where=f"{feed.where or 'input.'}shape",
            value=list(declared),
            expected="its shape, with or without a leading 1",
            rule=Rule.MODEL_VALID,
        )
    bound = {
        axis: dimensions[extent]
        for axis, extent in enumerate(shape)
        if isinstance(extent, str) and extent in dimensions
    }
    if more:
        bound[0] = 1
    _fix(item, bound)
    fixed = [isinstance(dimensions.get(str(each), each), int) for each in own]
    if not any(fixed):
        return Bound(declared)
    return Bound(
        declared,
        None,
        tuple(each if one else 1 for each, one in zip(declared, fixed, strict=True)),
        tuple(each if one else 0 for each, one in zip(declared, fixed, strict=True)),
    )


def _fix(item: onnx.ValueInfoProto, extents: Mapping[int, int]) -> None:
    for axis, extent in extents.items():
        dim = item.type.tensor_type.shape.dim[axis]
        dim.Clear()
        dim.dim_value = extent
