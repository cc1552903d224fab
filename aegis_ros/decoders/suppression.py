"""Non-maximum suppression."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["suppress"]


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
    shifted = boxes.astype(np.float64)
    if classes is not None and len(boxes):
        # One class a region of the plane: boxes of different classes never overlap.
        shifted = shifted + classes[:, None] * (float(boxes.max() - boxes.min()) + 1.0)
    order = np.argsort(-scores, kind="stable")
    left, top, right, bottom = shifted[order].T.copy()
    areas = np.clip(right - left, 0.0, None) * np.clip(bottom - top, 0.0, None)
    alive = np.arange(len(order))
    kept: list[int] = []
    while alive.size and len(kept) < limit:
        best, alive = alive[0], alive[1:]
        kept.append(int(order[best]))
        width = np.minimum(right[alive], right[best]) - np.maximum(left[alive], left[best])
        height = np.minimum(bottom[alive], bottom[best]) - np.maximum(top[alive], top[best])
        overlap = np.maximum(width, 0.0) * np.maximum(height, 0.0)
        # overlap / union > threshold, without a division by nothing
        alive = alive[overlap <= threshold * (areas[alive] + areas[best] - overlap)]
    return np.asarray(kept, np.int64)
