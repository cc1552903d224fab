"""Turns images of any encoding into the canonical formats, with one copy, straight into a slot."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError
from aegis_ros.nodes.cdr import ImageView

__all__ = [
    "ENCODINGS",
    "color_shape",
    "depth_shape",
    "write_color",
    "write_depth",
]

_Array = npt.NDArray[np.generic]
_Convert = Callable[[_Array, _Array], object]
_MAX_PIXELS = 16384 * 16384


def _cvt(code: int) -> _Convert:
    def convert(source: _Array, target: _Array) -> None:
        cv2.cvtColor(source, code, dst=target)  # type: ignore[call-overload]

    return convert


def _mono16(source: _Array, target: _Array) -> None:
    cv2.cvtColor(cv2.convertScaleAbs(source, alpha=255.0 / 65535.0), cv2.COLOR_GRAY2RGB, dst=target)  # type: ignore[call-overload]


def _bayer16(code: int) -> _Convert:
    def convert(source: _Array, target: _Array) -> None:
        cv2.cvtColor(cv2.convertScaleAbs(source, alpha=255.0 / 65535.0), code, dst=target)  # type: ignore[call-overload]

    return convert


# OpenCV names a Bayer pattern by the second row's second and third pixel; ROS (as everyone else)
# by the first row's first two. RGGB in ROS is therefore BayerBG in OpenCV.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2RGB,
    "bggr": cv2.COLOR_BayerRG2RGB,
    "gbrg": cv2.COLOR_BayerGR2RGB,
    "grbg": cv2.COLOR_BayerGB2RGB,
}

# encoding: (dtype, channels, conversion to RGB)
_PACKED: dict[str, tuple[str, int, _Convert]] = {
    "rgb8": ("u1", 3, lambda source, target: np.copyto(target, source)),
    "8UC3": ("u1", 3, _cvt(cv2.COLOR_BGR2RGB)),
    "bgr8": ("u1", 3, _cvt(cv2.COLOR_BGR2RGB)),
    "rgba8": ("u1", 4, _cvt(cv2.COLOR_RGBA2RGB)),
    "bgra8": ("u1", 4, _cvt(cv2.COLOR_BGRA2RGB)),
    "8UC4": ("u1", 4, _cvt(cv2.COLOR_BGRA2RGB)),
    "mono8": ("u1", 1, _cvt(cv2.COLOR_GRAY2RGB)),
    "8UC1": ("u1", 1, _cvt(cv2.COLOR_GRAY2RGB)),
    "mono16": ("u2", 1, _mono16),
    "yuv422_yuy2": ("u1", 2, _cvt(cv2.COLOR_YUV2RGB_YUY2)),
    "yuyv": ("u1", 2, _cvt(cv2.COLOR_YUV2RGB_YUY2)),
    "yuv422": ("u1", 2, _cvt(cv2.COLOR_YUV2RGB_UYVY)),
    "uyvy": ("u1", 2, _cvt(cv2.COLOR_YUV2RGB_UYVY)),
    **{f"bayer_{name}8": ("u1", 1, _cvt(code)) for name, code in _BAYER.items()},
    **{f"bayer_{name}16": ("u2", 1, _bayer16(code)) for name, code in _BAYER.items()},
}
_PLANAR = {"nv12": cv2.COLOR_YUV2RGB_NV12, "nv21": cv2.COLOR_YUV2RGB_NV21}
_DEPTH = {"16UC1": ("u2", 0.001), "mono16": ("u2", 0.001), "32FC1": ("f4", 1.0)}

ENCODINGS = tuple(sorted({*_PACKED, *_PLANAR, *_DEPTH}))


def color_shape(image: ImageView) -> tuple[int, int, int]:
    """Return the shape of the RGB frame.

    Raises:
        InputError: the size is zero or absurd, or the encoding has no colour.
    """
    _check_size(image.height, image.width)
    if image.encoding not in _PACKED and image.encoding not in _PLANAR:
        raise _unknown(image.encoding, [*_PACKED, *_PLANAR])
    return image.height, image.width, 3


def depth_shape(image: ImageView) -> tuple[int, int]:
    """Return the shape of the depth frame; errors as :func:`color_shape`."""
    _check_size(image.height, image.width)
    if image.encoding not in _DEPTH:
        raise _unknown(image.encoding, list(_DEPTH))
    return image.height, image.width


def write_color(image: ImageView, target: _Array) -> None:
    """Write an image as RGB.

    Args:
        image: any of ``ENCODINGS`` with colour or grey values.
        target: uint8 [height, width, 3].

    Raises:
        InputError: step and data do not fit size and encoding.
    """
    if image.encoding in _PLANAR:
        _write_planar(image, target)
        return
    dtype, channels, convert = _PACKED[image.encoding]
    pixels = _rows(image, dtype, channels)
    if channels == 2 and image.width % 2:
        raise InputError(
            "a 4:2:2 image needs an even width",
            where="width",
            value=image.width,
            hint="Crop the image by a column",
        )
    convert(pixels, target)


def write_depth(image: ImageView, target: _Array) -> None:
    """Write a depth image in metres: 16UC1 is millimetres, 32FC1 metres (REP 118).

    Args:
        image: 16UC1, mono16 or 32FC1.
        target: float32 [height, width].

    Raises:
        InputError: step and data do not fit size and encoding.
    """
    dtype, factor = _DEPTH[image.encoding]
    pixels = _rows(image, dtype, 1)
    np.multiply(pixels, np.float32(factor), out=target, casting="unsafe")


def _check_size(height: int, width: int) -> None:
    if height == 0 or width == 0 or height * width > _MAX_PIXELS:
        raise InputError(
            "the image has an impossible size",
            where="height, width",
            value=[height, width],
            expected="both at least 1",
            hint="Check the driver: it publishes empty frames",
        )


def _unknown(encoding: str, known: list[str]) -> InputError:
    return InputError(
        "the encoding cannot be used here",
        where="encoding",
        value=encoding or "''",
        expected="one of " + ", ".join(sorted(known)),
        hint="Have the driver publish one of these, or put an image_proc node in between",
    )


def _rows(image: ImageView, dtype: str, channels: int) -> _Array:
    """Return a view [height, width(, channels)] of the pixels, row padding left out."""
    order = (">" if image.is_bigendian else "<") if dtype != "u1" else "|"
    element = np.dtype(order + dtype)
    used = image.width * channels * element.itemsize
    _check_step(image, used, image.height)
    rows = np.ndarray(
        (image.height, image.width, channels),
        element,
        buffer=image.data,
        strides=(image.step, channels * element.itemsize, element.itemsize),
    )
    pixels: _Array = rows if channels > 1 else rows[:, :, 0]
    if not element.isnative:
        pixels = pixels.astype(element.newbyteorder("="))
    elif image.step % element.itemsize:
        pixels = np.ascontiguousarray(pixels)  # OpenCV 4 refuses rows that begin inside a value
    return pixels


def _write_planar(image: ImageView, target: _Array) -> None:
    if image.height % 2 or image.width % 2:
        raise InputError(
            "a 4:2:0 image needs even height and width",
            where="height, width",
            value=[image.height, image.width],
            hint="Crop the image",
        )
    rows = image.height * 3 // 2
    _check_step(image, image.width, rows)
    planes = np.ndarray((rows, image.width), np.uint8, buffer=image.data, strides=(image.step, 1))
    cv2.cvtColor(planes, _PLANAR[image.encoding], dst=target)  # type: ignore[call-overload]


def _check_step(image: ImageView, used: int, rows: int) -> None:
    if image.step < used:
        raise InputError(
            f"step is smaller than a row of {image.width} pixels in {image.encoding}",
            where="step",
            value=image.step,
            expected=f"at least {used}",
        )
    need = image.step * (rows - 1) + used
    if len(image.data) < need:
        raise InputError(
            "the image is cut short",
            where="data",
            value=f"{len(image.data)} bytes",
            expected=f"at least {need}",
            hint="Check the driver: data does not fit height and step",
        )
