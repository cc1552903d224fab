"""Brings an image to the size a network takes, in OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.network.geometry import letterbox
from aegis_ros.spec import Interpolation, PreprocessSpec, ResizeMode

__all__ = ["resized"]


def resized(
    image: npt.NDArray[np.generic], spec: PreprocessSpec, size: tuple[int, int]
) -> npt.NDArray[np.generic]:
    """Return an image [H, W, ...] stretched or letterboxed to ``size``, (height, width)."""
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
