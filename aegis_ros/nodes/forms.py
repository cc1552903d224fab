"""What a result is published as beside our own message, in messages that other nodes read."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import Image
from std_msgs.msg import Float32MultiArray, Header, MultiArrayDimension

from aegis_ros.decoders import (
    Boxes3D,
    Classification,
    CropResults,
    Decoded,
    DepthMap,
    Detections,
    Embedding,
    SegmentationMask,
    in_frame,
)
from aegis_ros.msg import KeypointArray, KeypointSet
from aegis_ros.nodes import vision

__all__ = ["Form", "forms"]


@dataclass(frozen=True, slots=True)
class Form:
    """One message beside a result.

    Attributes:
        name: of its topic, behind that of the results.
        kind: type of the message.
        make: makes the message; not called where nobody listens.
    """

    name: str
    kind: type
    make: Callable[[], Any]


def forms(header: Header, decoded: Decoded) -> Iterator[Form]:
    """Yield each form a result has; those of vision_msgs only where that package is installed.

    Args:
        header: of the source frame.
        decoded: the result.
    """
    if isinstance(decoded, CropResults):
        whole = in_frame(decoded)
        if isinstance(whole, Detections):
            yield Form("keypoints", KeypointArray, partial(_keypoints, header, whole))
        elif whole is not None:
            yield Form("embedding", Float32MultiArray, partial(_numbers, whole))
        return
    messages = _vision_messages()
    if messages is not None:
        if isinstance(decoded, Detections):
            made = partial(vision.detections, messages, header, decoded)
            yield Form("detections", messages.Detection2DArray, made)
        elif isinstance(decoded, Boxes3D):
            solid = partial(vision.detections_3d, messages, header, decoded)
            yield Form("detections", messages.Detection3DArray, solid)
        elif isinstance(decoded, Classification):
            classes = partial(vision.classification, messages, header, decoded)
            yield Form("classification", messages.Classification, classes)
    if isinstance(decoded, Detections):
        if decoded.landmarks is not None:
            yield Form("keypoints", KeypointArray, partial(_keypoints, header, decoded))
        if decoded.instances is not None:
            yield Form("mask", Image, partial(_image, header, decoded.instances, "mono8"))
    elif isinstance(decoded, SegmentationMask):
        yield Form("mask", Image, partial(_image, header, decoded.mask, "mono8"))
    elif isinstance(decoded, DepthMap):
        yield Form("depth", Image, partial(_image, header, decoded.metres, "32FC1"))
    elif isinstance(decoded, Embedding):
        yield Form("embedding", Float32MultiArray, partial(_numbers, decoded.vector))


def _vision_messages() -> Any:
    return import_module("vision_msgs.msg") if find_spec("vision_msgs") is not None else None


def _image(header: Header, pixels: npt.NDArray[np.generic], encoding: str) -> Image:
    height, width = pixels.shape
    message = Image(header=header, height=height, width=width, encoding=encoding)
    message.step = width * pixels.itemsize
    message.data = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    return message


def _numbers(values: npt.NDArray[np.float32]) -> Float32MultiArray:
    message = Float32MultiArray(data=_floats(values))
    names = ("crops", "features")[-values.ndim :]
    message.layout.dim = [
        MultiArrayDimension(label=label, size=size, stride=prod(values.shape[axis:]))
        for axis, (label, size) in enumerate(zip(names, values.shape, strict=True))
    ]
    return message


def _keypoints(header: Header, found: Detections) -> KeypointArray:
    assert found.landmarks is not None
    message = KeypointArray(header=header, names=list(found.landmark_names))
    for index, (label, score) in enumerate(zip(found.labels, found.scores.tolist(), strict=True)):
        places = found.landmarks[index]
        each = KeypointSet(label=label, score=score, box=found.boxes[index].tolist())
        each.x, each.y = _floats(places[:, 0]), _floats(places[:, 1])
        if found.landmark_scores is not None:
            each.scores = _floats(found.landmark_scores[index])
        message.sets.append(each)
    return message


def _floats(values: npt.NDArray[np.float32]) -> array[float]:
    """Return numbers as messages take them fastest."""
    return array("f", values.astype(np.float32, copy=False).tobytes())
