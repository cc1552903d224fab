"""Brings an image to the size a network takes, in OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.network.geometry import centred, letterbox
from aegis_ros.spec import Interpolation, PreprocessSpec, ResizeMode

__all__ = ["resized"]


def resized(
    image: npt.NDArray[np.generic], spec: PreprocessSpec, size: tuple[int, int]
) -> npt.NDArray[np.generic]:
    """Return an image [H, W, ...] brought to ``size``, (height, width), as ``spec.resize`` says."""
    if spec.resize in (ResizeMode.CROP, ResizeMode.PAD):
        top, left = centred((image.shape[0], image.shape[1]), size)
        if spec.resize is ResizeMode.CROP:
            return image[-top : size[0] - top, -left : size[1] - left]
        return _framed(image, spec, size, top=top, left=left)
    method = cv2.INTER_LINEAR if spec.interpolation is Interpolation.LINEAR else cv2.INTER_NEAREST
    if spec.resize is ResizeMode.STRETCH:
        return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method))
    box = letterbox((image.shape[0], image.shape[1]), size)
    inner = cv2.resize(image, (box.inner_width, box.inner_height), interpolation=method)
    return _framed(inner, spec, size, top=box.top, left=box.left)


def _framed(
    image: npt.NDArray[np.generic],
    spec: PreprocessSpec,
    size: tuple[int, int],
    *,
    top: int,
    left: int,
) -> npt.NDArray[np.generic]:
    """Return an image with a border around it."""
    padded = cv2.copyMakeBorder(
        image,
        top,
        size[0] - image.shape[0] - top,
        left,
        size[1] - image.shape[1] - left,
        cv2.BORDER_CONSTANT,
        value=(spec.pad,) * 3,
    )
    return np.asarray(padded)
