"""Preprocessing in OpenCV: what the fused graph is checked against."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.network.fuse import LUMA
from aegis_ros.network.geometry import letterbox
from aegis_ros.spec import Color, Interpolation, Layout, PreprocessSpec, ResizeMode

__all__ = ["preprocess"]


def preprocess(frame: npt.NDArray[np.generic], spec: PreprocessSpec) -> npt.NDArray[np.generic]:
    """Return the network's input for one frame.

    Args:
        frame: uint8 [H, W, 3] RGB, or float32 [H, W] for depth.
        spec: what to do.

    Returns:
        ``spec.dtype`` [1, C, h, w] or [1, h, w, C]. Agrees with the fused graph within one grey
        level (0.004 of the range) a pixel: the graph resizes in 8 bits, as OpenCV does, but rounds
        differently.
    """
    image = frame
    if spec.size is not None and spec.resize is not ResizeMode.NONE:
        image = _resize(image, spec, spec.size)
    if image.ndim == 2:
        image = image[:, :, None]
    if spec.color is Color.BGR:
        image = image[:, :, ::-1]
    if spec.dtype != "uint8":
        values = image.astype(np.float32)
        if spec.color is Color.MONO:
            values = (values * np.asarray(LUMA, np.float32)).sum(axis=2, keepdims=True)
        channels = values.shape[2]
        mean = np.asarray(spec.mean[:channels], np.float32)
        std = np.asarray(spec.std[:channels], np.float32)
        image = ((values * np.float32(spec.scale) - mean) / std).astype(spec.dtype)
    if spec.layout is Layout.NCHW:
        image = image.transpose(2, 0, 1)
    return np.ascontiguousarray(image)[None]


def _resize(
    image: npt.NDArray[np.generic], spec: PreprocessSpec, size: tuple[int, int]
) -> npt.NDArray[np.generic]:
    method = cv2.INTER_LINEAR if spec.interpolation is Interpolation.LINEAR else cv2.INTER_NEAREST
    if spec.resize is ResizeMode.STRETCH:
        return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method))
    box = letterbox((image.shape[0], image.shape[1]), size)
    inner = cv2.resize(image, (box.inner_width, box.inner_height), interpolation=method)
    padded = cv2.copyMakeBorder(
        inner,
        box.top,
        size[0] - box.inner_height - box.top,
        box.left,
        size[1] - box.inner_width - box.left,
        cv2.BORDER_CONSTANT,
        value=(spec.pad,) * 3,
    )
    return np.asarray(padded)
