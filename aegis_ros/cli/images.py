"""Reads an image that a command line names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import ConfigError

__all__ = ["image_of"]

_MOST_BYTES = 64 * 1024 * 1024


def image_of(path: Path) -> npt.NDArray[np.uint8]:
    """Return an image, uint8 [height, width, 3] in RGB, upright as its camera says.

    Raises:
        ConfigError: the file cannot be read, or is no image.
    """
    import cv2

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"the image cannot be read ({error.strerror})", where="--image", value=path
        ) from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(
            "the image is too large",
            where="--image",
            value=path,
            expected=f"at most {_MOST_BYTES:,} bytes",
        )
    found = None
    if content:
        try:
            found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            found = None  # as where it knows nothing of the format
    if found is None:
        raise ConfigError(
            "the file is no image", where="--image", value=path, expected="for example PNG or JPEG"
        )
    return np.ascontiguousarray(found[..., ::-1], np.uint8)
