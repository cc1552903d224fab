"""A task that could run a network, as keys of the configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aegis_ros.decoders.guessing import RECIPES, Guess
from aegis_ros.network.tensor import TensorInfo

__all__ = ["IMAGE_SIZE", "entry", "is_image", "size_of", "task_name"]

IMAGE_SIZE = (480, 640)  # where the network leaves it open and nobody says
_CHANNELS = (1, 3)
_MOST_PIXELS, _MOST_EXTENT, _MOST_POINTS = 16_384, 1_000_000, 10_000_000  # as the keys have them
_DTYPES = ("float32", "float16", "uint8")


def task_name(stem: str) -> str:
    """Return a valid name of a task from a file's."""
    name = re.sub(r"[^a-z0-9]+", "_", stem.lower())[:40].strip("_")
    return name if name[:1].isalpha() else f"net_{name}".rstrip("_")


def is_image(info: TensorInfo) -> bool:
    """Whether an input takes an image: four extents, and one or three channels or any number."""
    if len(info.shape) != 4 or info.dtype not in _DTYPES:
        return False
    channels = info.shape[3] if _channels_last(info) else info.shape[1]
    grey = channels == 1
    known = isinstance(channels, int)
    return (not known or channels in _CHANNELS) and not (grey and info.dtype == "uint8")


def _channels_last(info: TensorInfo) -> bool:
    return info.shape[3] in _CHANNELS and info.shape[1] not in _CHANNELS


def size_of(
    info: TensorInfo, given: tuple[int, int] | None, metadata: Mapping[str, str]
) -> tuple[int, int]:
    """Return height and width of an image: given, fixed in the file, in its metadata, or usual."""
    axes = (1, 2) if _channels_last(info) else (2, 3)
    height, width = (info.shape[axis] for axis in axes)
    if given is not None:
        return given
    fixed = [extent if isinstance(extent, int) else 0 for extent in (height, width)]
    if min(fixed) > 0:
        return min(fixed[0], _MOST_PIXELS), min(fixed[1], _MOST_PIXELS)
    said = re.fullmatch(r"\[(\d{1,5}), ?(\d{1,5})\]", metadata.get("imgsz", ""))
    if said is not None and all(0 < int(each) <= _MOST_PIXELS for each in said.groups()):
        return int(said[1]), int(said[2])
    usual = zip(fixed, IMAGE_SIZE, strict=True)
    rows, columns = (min(extent, _MOST_PIXELS) or other for extent, other in usual)
    return rows, columns


def entry(
    name: str,
    model: str,
    inputs: Sequence[TensorInfo],
    *,
    guess: Guess,
    sizes: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    """Return the keys of a task that runs a network.

    Args:
        name: of the task.
        model: path or URI of the network.
        inputs: what must be fed.
        guess: the decoder, and what the images are likely to look like.
        sizes: height and width of each input that takes an image.
    """
    task: dict[str, Any] = {"name": name, "model": model}
    streams = {item.name: _stream(name, item, guess, sizes) for item in inputs}
    if len(streams) == 1:
        (stream,) = streams.values()
        preprocess = stream.pop("preprocess")
        task["input"] = stream
        if preprocess:
            task["preprocess"] = preprocess
    elif streams:
        task["inputs"] = {
            each: {**stream, "topic": f"/{name}/{task_name(each)}"}
            for each, stream in streams.items()
        }
        task["sync"] = {"tolerance_ms": 50}
    else:
        task["trigger"] = {"timer": {"period_ms": 100}}
    task["period_ms"] = 100
    task["jitter_ms"] = 20
    output: dict[str, Any] = {"topic": f"/perception/{name}", "decoder": guess.decoder}
    if guess.options:
        output["options"] = dict(guess.options)
    task["output"] = output
    return task


def _stream(
    name: str, info: TensorInfo, guess: Guess, sizes: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    """Return topic, type and preprocessing of what feeds one input."""
    shape = info.shape
    if is_image(info):
        keys: dict[str, Any] = {"size": list(sizes[info.name])}
        last = _channels_last(info)
        channels = shape[3] if last else shape[1]
        recipe = RECIPES.get(guess.recipe)
        if recipe is not None and info.dtype != "uint8":
            keys |= {key: value for key, value in recipe.keys.items() if key != "size"}
        if last:
            keys["layout"] = "nhwc"
        if channels == 1:
            keys["color"] = "mono"
            for each in ("mean", "std"):
                if len(keys.get(each, ())) == 3:  # of red, green and blue
                    keys[each] = [round(sum(keys[each]) / 3, 3)]
        if info.dtype != "float32":
            keys["dtype"] = info.dtype
        return {
            "topic": "/camera/image_raw",
            "type": "sensor_msgs/msg/Image",
            "max_size": [1080, 1920],
            "preprocess": keys,
        }
    if len(shape) in (2, 3) and shape[-1] == 4 and info.dtype == "float32":
        rows = shape[-2]
        most = min(rows, _MOST_POINTS) if isinstance(rows, int) and rows > 0 else 100_000
        return {
            "topic": "/lidar/points",
            "type": "sensor_msgs/msg/PointCloud2",
            "max_points": most,
            "preprocess": {"layout": "points"},
        }
    own = (
        shape[1:] if len(shape) > 1 and not (isinstance(shape[0], int) and shape[0] > 1) else shape
    )
    extents = [
        min(extent, _MOST_EXTENT) if isinstance(extent, int) and extent > 0 else 1 for extent in own
    ][:6] or [1]
    tensor: dict[str, Any] = {"layout": "tensor"}
    if info.dtype in ("float16", "int32", "int64", "uint8"):
        tensor["dtype"] = info.dtype
    return {
        "topic": f"/{name}/{task_name(info.name)}",
        "type": "std_msgs/msg/Float32MultiArray",
        "shape": extents,
        "preprocess": tensor,
    }
