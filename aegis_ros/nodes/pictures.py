"""Reads the images that prompts of generators are about, from messages of both types."""

from __future__ import annotations

from typing import Any

import numpy as np
from std_msgs.msg import Header

from aegis_ros.errors import ConfigError, InputError
from aegis_ros.nodes import cdr
from aegis_ros.nodes.cdr import CompressedImageView, HeaderView, ImageView
from aegis_ros.nodes.compressed import decode_compressed, write_decoded
from aegis_ros.nodes.conversions import time_from_ns
from aegis_ros.nodes.images import color_shape, write_color
from aegis_ros.orchestrator.shown import Picture, Shown, fitted, require_images
from aegis_ros.planning.generator_preparation import GeneratorCandidate

__all__ = [
    "COMPRESSED",
    "MOST_BYTES",
    "attached",
    "forget_attached",
    "header_of",
    "picture_of",
    "read_picture",
]

COMPRESSED = "sensor_msgs/msg/CompressedImage"
MOST_BYTES = 64 * 1024 * 1024
"""Of one image, as it comes."""
_KEY = "image.max_size of the generator"
_FIELDS = ("image", "compressed_image")


def read_picture(raw: bytes, kind: str, max_size: tuple[int, int]) -> Picture:
    """Return the image of a serialised message.

    Args:
        raw: the message.
        kind: its type.
        max_size: largest height and width.

    Raises:
        InputError: it is no image, or too large.
    """
    reader = cdr.Reader(raw)
    header = cdr.read_header(reader)
    if kind == COMPRESSED:
        return picture_of(cdr.read_compressed_image(reader, header), max_size)
    return picture_of(cdr.read_image(reader, header), max_size)


def picture_of(view: ImageView | CompressedImageView, max_size: tuple[int, int]) -> Picture:
    """Return an image whose message was read.

    Args:
        view: the message.
        max_size: largest height and width.

    Raises:
        InputError: it is none, or too large; nothing was allocated for it then.
    """
    if len(view.data) > MOST_BYTES:
        raise InputError(
            "the image has too many bytes",
            where="data",
            value=f"{len(view.data):,}",
            expected=f"at most {MOST_BYTES:,}",
        )
    if isinstance(view, CompressedImageView):
        pixels = decode_compressed(view, max_size, _KEY)
        image = np.empty(pixels.shape, np.uint8)
        write_decoded(pixels, image)
    else:
        shape = color_shape(view)
        if shape[0] > max_size[0] or shape[1] > max_size[1]:
            raise InputError(
                "the image is larger than declared",
                where="height, width",
                value=list(shape[:2]),
                expected=f"at most {list(max_size)}",
                hint=f"Raise {_KEY}",
            )
        image = np.empty(shape, np.uint8)
        write_color(view, image)
    return Picture(image, view.header.stamp_ns, view.header.frame_id)


def attached(request: Any, candidate: GeneratorCandidate, shown: Shown) -> Picture | None:
    """Return the image that a goal is about, its pixels as the model takes them.

    Args:
        request: a goal of ``Generate.action``.
        candidate: the generator that it is for.
        shown: where the images of topics come from.

    Returns:
        ``None`` where it is about no image.

    Raises:
        ConfigError: there are several, what is attached is no image, or the generator takes none.
        InputError: there is none on the topic now, or it is none.
    """
    given = [name for name in _FIELDS if _is_set(getattr(request, name))]
    if request.image_topic:
        given.append("image_topic")
    if len(given) > 1:
        raise ConfigError(
            f"{' and '.join(given)} are both given", where=given[0], expected="one of them"
        )
    if not given or given == ["image_topic"]:
        return shown.newest(candidate, request.image_topic)
    (field,) = given
    require_images(candidate, field)
    spec = candidate.spec.image
    assert spec is not None  # it was required
    try:
        return fitted(candidate, picture_of(_view(getattr(request, field)), spec.max_size))
    except InputError as error:  # of who asks, not of a sensor
        raise ConfigError(
            error.problem,
            where=f"{field}.{error.where}",
            value=error.value or None,
            expected=error.expected,
            hint=error.hint if _KEY in error.hint else "",  # others are about drivers
        ) from error


def forget_attached(request: Any) -> None:
    """Drop the images of a goal, which ROS keeps for as long as its result."""
    for name in _FIELDS:
        setattr(request, name, type(getattr(request, name))())


def header_of(picture: Picture) -> Header:
    """Return where an image came from, as messages have it."""
    return Header(stamp=time_from_ns(picture.stamp_ns), frame_id=picture.frame_id)


def _is_set(message: Any) -> bool:
    """Return whether a message is an image, be it a bad one: whether anything is said of one."""
    if hasattr(message, "format"):
        return bool(message.data or message.format)
    return bool(message.data or message.height or message.width or message.encoding)


def _view(message: Any) -> ImageView | CompressedImageView:
    stamp = message.header.stamp
    header = HeaderView(stamp.sec, stamp.nanosec, message.header.frame_id)
    data = memoryview(message.data)
    if hasattr(message, "format"):
        return CompressedImageView(header, message.format, data)
    return ImageView(
        header,
        message.height,
        message.width,
        message.encoding,
        bool(message.is_bigendian),
        message.step,
        data,
    )
