"""What `aegis profile` measures with: a task made of a bare network, frames made of images."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.config import parse_config
from aegis_ros.errors import ConfigError
from aegis_ros.spec import FrameFormat, OrchestratorSpec, TaskSpec

__all__ = ["image_frames", "model_spec"]

_MOST_IMAGES = 32
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
_DTYPES = {  # onnx.TensorProto
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    10: "float16",
    11: "float64",
}
_CHANNELS = {1: "mono", 3: "rgb"}


def model_spec(path: Path, size: str = "") -> OrchestratorSpec:
    """Return a configuration with one task for a network that takes an image.

    Frames have the size the network takes, so that nothing is resized.

    Args:
        path: the ONNX file.
        size: height and width where the network leaves them open, as ``480x640``.

    Raises:
        ConfigError: the file cannot be read, or the network does not take an image.
    """
    shape, dtype = _first_input(path)
    nhwc = shape[3] in _CHANNELS and shape[1] not in _CHANNELS
    channels = shape[3] if nhwc else shape[1]
    height, width = (shape[1], shape[2]) if nhwc else (shape[2], shape[3])
    if size:
        height, width = _size(size)
    if not height or not width:
        raise ConfigError(
            "the network leaves the size of its images open",
            where=str(path),
            hint="Say which to measure: --size 480x640 (height x width)",
        )
    name = re.sub(r"[^a-z0-9_]+", "_", path.stem.lower()).strip("_")
    task = {
        "name": name[:60] if name[:1].isalpha() else f"net_{name}"[:60],
        "model": str(path.resolve()),
        "period_ms": 1000,
        "input": {"topic": "/frames", "max_size": [height, width]},
        "preprocess": {
            "size": [height, width],
            "color": _CHANNELS.get(channels, "rgb"),
            "layout": "nhwc" if nhwc else "nchw",
            "dtype": dtype,
        },
        "output": {"topic": "/results"},
    }
    values = {"models": {"roots": [str(path.resolve().parent)]}, "tasks": [task]}
    return parse_config(json.dumps(values), str(path))


def image_frames(
    folder: Path, task: TaskSpec, shape: tuple[int, ...], dtype: str
) -> npt.NDArray[np.generic]:
    """Return images of a folder as the largest frames a task takes, [frames, *shape].

    Args:
        folder: of images; of many, some that lie evenly among their names.
        task: that takes them.
        shape: of one frame.
        dtype: of one frame.

    Raises:
        ConfigError: no such folder, no image in it, or the task does not take images.
    """
    if task.preprocess.frame_format is not FrameFormat.RGB8:
        raise ConfigError(
            f"{task.name} does not take images",
            where="--inputs",
            value=task.preprocess.frame_format,
            hint="Choose tasks that do with --task, and measure this one with random frames",
        )
    try:
        paths = sorted(item for item in folder.iterdir() if item.suffix.lower() in _IMAGES)
    except OSError as error:
        raise ConfigError(
            f"the folder cannot be read ({error.strerror})", where="--inputs", value=folder
        ) from error
    if not paths:
        raise ConfigError(
            "there is no image in the folder",
            where="--inputs",
            value=folder,
            expected="files that end in " + ", ".join(_IMAGES),
        )
    step = max(1.0, len(paths) / _MOST_IMAGES)
    chosen = [paths[int(index * step)] for index in range(min(len(paths), _MOST_IMAGES))]
    return np.stack([_frame(path, shape) for path in chosen]).astype(dtype, copy=False)


def _frame(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ConfigError("the image cannot be read", where="--inputs", value=path)
    sized = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(sized[..., ::-1], np.uint8)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if found is None or not int(found[1]) or not int(found[2]):
        raise ConfigError(
            "not a size", where="--size", value=text, expected="height x width, as 480x640"
        )
    return int(found[1]), int(found[2])


def _first_input(path: Path) -> tuple[tuple[int, ...], str]:
    """Return extents (0 where open) and dtype of the first input that may be an image."""
    import onnx

    if not path.exists():
        raise ConfigError("there is no such file", where=str(path), hint="Check the path")
    try:
        graph: Any = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # whatever the parser raises, the file is no network
        raise ConfigError(
            f"the file cannot be read as a network ({type(error).__name__})",
            where=str(path),
            expected="an ONNX file, or the YAML of an orchestrator",
        ) from error
    constants = {item.name for item in graph.initializer}
    seen = []
    for item in graph.input:
        tensor = item.type.tensor_type
        shape = tuple(int(extent.dim_value) for extent in tensor.shape.dim)
        if item.name in constants:
            continue
        if len(shape) == 4 and tensor.elem_type in _DTYPES:
            return shape, _DTYPES[tensor.elem_type]
        seen.append(f"{item.name} {list(shape)}")
    raise ConfigError(
        "the network does not take an image",
        where=str(path),
        value=", ".join(seen) or "no input",
        expected="an input with four extents",
        hint="Describe its input in a configuration, and measure that",
    )
