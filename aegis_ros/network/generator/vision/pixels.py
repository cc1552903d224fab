"""Brings an image to the pixels that an encoder takes."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.errors import InputError
from aegis_ros.network.generator.vision.facts import ImageFacts

__all__ = ["pixels_of"]


def pixels_of(image: npt.NDArray[np.uint8], facts: ImageFacts) -> npt.NDArray[np.uint8]:
    """Return an image as the encoder of a model takes it.

    Areas are averaged where it becomes smaller, so that no line of it is skipped. Models are
    trained on images that Pillow resized, whose filters differ from that by a few levels of grey.

    Args:
        image: uint8 [height, width, 3] in RGB.
        facts: of the model.

    Returns:
        uint8 [height, columns, 3] in RGB.

    Raises:
        InputError: it is no such image.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InputError(
            "not an image in colour",
            where="image",
            value=f"{image.dtype} {list(image.shape)}",
            expected="uint8 [height, width, 3] in RGB",
        )
    if facts.crop:
        image = _middle(image, facts.height / facts.columns)
    height, width = image.shape[:2]
    if (height, width) == (facts.height, facts.columns):
        return np.ascontiguousarray(image)
    shrinks = height >= facts.height and width >= facts.columns
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    sized = cv2.resize(image, (facts.columns, facts.height), interpolation=method)
    return np.asarray(sized, np.uint8)


def _middle(image: npt.NDArray[np.uint8], shape: float) -> npt.NDArray[np.uint8]:
    """Return the largest part in the middle of an image that has a shape, height by width."""
    height, width = image.shape[:2]
    rows = max(1, min(height, round(width * shape)))
    columns = max(1, min(width, round(height / shape)))
    top, left = (height - rows) // 2, (width - columns) // 2
    return image[top : top + rows, left : left + columns]
