"""Preprocessing in OpenCV: what the fused graph is checked against."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.network.fuse import LUMA
from aegis_ros.network.resizing import resized
from aegis_ros.spec import Color, Layout, PreprocessSpec, ResizeMode

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
        image = resized(image, spec, spec.size)
    if image.ndim == 2:
        image = image[:, :, None]
    if spec.color is Color.BGR:
        image = image[:, :, ::-1]
    values = image.astype(np.float32)
    if spec.color is Color.MONO:
        values = (values * np.asarray(LUMA, np.float32)).sum(axis=2, keepdims=True)
    channels = values.shape[2]
    mean = np.asarray(spec.mean[:channels], np.float32)
    std = np.asarray(spec.std[:channels], np.float32)
    values = (values * np.float32(spec.scale) - mean) / std
    whole = np.issubdtype(np.dtype(spec.dtype), np.integer)
    image = (np.rint(values) if whole else values).astype(spec.dtype)
    if spec.layout is Layout.NCHW:
        image = image.transpose(2, 0, 1)
    return np.ascontiguousarray(image)[None]
