"""What is known of the images that a vision-language model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NO_ROW", "ImageFacts", "image_rows"]

NO_ROW = -1
"""Row of a token that stands for no part of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """How an image comes into the prompt of a model.

    Attributes:
        token: stands in a prompt for each row of an image.
        text: of that token.
        before, after: texts around the rows.
        rows: of one image, and so the tokens that it takes of the context.
        width: numbers of a row.
        dtype: of these numbers.
        height, columns: of the image that the encoder takes, in pixels.
        crop: an image is cut to that shape; else it is stretched.
        parts: of the encoder; they are the last ones of the model's files.
    """

    token: int
    text: str
    before: str
    after: str
    rows: int
    width: int
    dtype: str
    height: int
    columns: int
    crop: bool
    parts: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Extents of an image that the encoder takes, uint8 in RGB."""
        return self.height, self.columns, 3

    @property
    def bytes_per_slot(self) -> int:
        """Bytes of the rows that each sequence has room for."""
        return self.rows * self.width * np.dtype(self.dtype).itemsize


def image_rows(
    tokens: Sequence[int] | npt.NDArray[np.integer[Any]], facts: ImageFacts
) -> npt.NDArray[np.int64]:
    """Return which row of the image each token of a prompt stands for; ``NO_ROW`` for none."""
    stands = np.asarray(tokens, np.int64) == facts.token
    return np.where(stands, np.cumsum(stands) - 1, NO_ROW)
