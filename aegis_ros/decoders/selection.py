"""Chooses, among a network's candidate boxes, those that are reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import name_of
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import likeliest
from aegis_ros.decoders.suppression import suppress

__all__ = ["Selected", "select"]

_MAX_CANDIDATES = 3000

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """Boxes that are reported, best score first.

    Attributes:
        rows: int64 [N], which candidates they were.
        boxes: float32 [N, 4], left, top, right, bottom in pixels of the network's input, inside it.
        scores: float32 [N], 0..1.
        classes: int64 [N].
    """

    rows: Integers
    boxes: Floats
    scores: Floats
    classes: Integers

    def detections(self, frame: FrameInfo, names: Sequence[str]) -> Detections:
        """Return the boxes in pixels of the source frame, with the names of their classes."""
        return Detections(
            boxes=frame.to_source(self.boxes.reshape(-1, 2, 2)).reshape(-1, 4),
            scores=self.scores,
            labels=tuple(name_of(names, index) for index in self.classes.tolist()),
        )


def select(
    boxes: Floats,
    scores: Floats,
    classes: Integers,
    frame: FrameInfo,
    *,
    threshold: float,
    limit: int,
    iou: float | None = None,
    across_classes: bool = False,
    normalized: bool = False,
) -> Selected:
    """Leave out what is unlikely, no box, or hidden behind a better one.

    Args:
        boxes: float32 [N, 4], left, top, right, bottom; in pixels of the network's input.
        scores: float32 [N].
        classes: int64 [N].
        frame: size of the network's input.
        threshold: least score.
        limit: largest number of boxes.
        iou: overlap above which the lesser box goes; ``None`` where the network suppresses itself.
        across_classes: boxes of different classes suppress each other too.
        normalized: boxes are 0..1 and not pixels.
    """
    rows = np.nonzero((scores >= threshold) & np.isfinite(boxes).all(axis=1))[0]
    rows = likeliest(rows, scores, _MAX_CANDIDATES)
    size = np.asarray([frame.input_width, frame.input_height] * 2, np.float32)
    with np.errstate(over="ignore"):
        scaled = boxes[rows] * size if normalized else boxes[rows]
    inside = np.clip(scaled, 0.0, size).astype(np.float32, copy=False)
    solid = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
    rows, inside = rows[solid], inside[solid]
    scores, classes = scores[rows], classes[rows]
    if iou is None:
        keep = np.argsort(-scores, kind="stable")[:limit]
    else:
        keep = suppress(inside, scores, None if across_classes else classes, iou, limit=limit)
    return Selected(
        rows[keep].astype(np.int64),
        inside[keep],
        np.clip(scores[keep], 0.0, 1.0).astype(np.float32),
        classes[keep],
    )
