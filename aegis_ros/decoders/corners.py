"""What the four numbers of a box are, brought to one form."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Corners", "to_corners"]

Corners = Literal["xyxy", "yxyx", "cxcywh", "xywh"]


def to_corners(boxes: npt.NDArray[np.float32], kind: Corners) -> npt.NDArray[np.float32]:
    """Return boxes [N, 4] as left, top, right, bottom; values that overflow become infinite."""
    if kind == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    if kind == "xyxy":
        return boxes
    with np.errstate(over="ignore", invalid="ignore"):
        first = boxes[:, :2] - boxes[:, 2:] / 2 if kind == "cxcywh" else boxes[:, :2]
        return np.concatenate([first, first + boxes[:, 2:]], axis=1)
