"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["iou", "suppress"]


def iou(box: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the overlap of one box [4] with others [N, 4] (xyxy) as float32 [N] in 0..1."""
    left_top = np.maximum(box[:2], others[:, :2])
    right_bottom = np.minimum(box[2:], others[:, 2:])
    overlap = np.prod(np.clip(right_bottom - left_top, 0.0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0.0, None))
    areas = np.prod(np.clip(others[:, 2:] - others[:, :2], 0.0, None), axis=1)
    return np.asarray(overlap / np.maximum(area + areas - overlap, 1e-9), np.float32)


def suppress(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    classes: npt.NDArray[np.int64] | None,
    threshold: float,
    *,
    limit: int,
) -> npt.NDArray[np.int64]:
    """Return the indices of the boxes to keep, best score first.

    Args:
        boxes: float32 [N, 4] xyxy.
        scores: float32 [N].
        classes: int64 [N]; only boxes of one class suppress each other. ``None``: all do.
        threshold: overlap above which the lesser box goes.
        limit: largest number of boxes kept.
    """
    shifted = boxes
    if classes is not None and len(boxes):
        # One class a region of the plane: boxes of different classes never overlap.
        span = float(boxes.max() - boxes.min()) + 1.0
        shifted = (boxes.astype(np.float64) + classes[:, None] * span).astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size and len(kept) < limit:
        best = order[0]
        kept.append(int(best))
        rest = order[1:]
        order = rest[iou(shifted[best], shifted[rest]) <= threshold]
    return np.asarray(kept, np.int64)
