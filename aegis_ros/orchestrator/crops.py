"""Cuts the parts of a frame that another task's boxes choose, in the size a network takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders import Decoded, Detections, TextRegions
from aegis_ros.network.resizing import resized
from aegis_ros.spec import CropsSpec, PreprocessSpec

__all__ = ["Crops", "choose", "cut"]


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """Parts of a frame, best score first.

    Attributes:
        boxes: int32 [N, 4], left, top, right, bottom in pixels, inside the frame.
        scores: float32 [N].
        labels: N names, as the task before gave them.
    """

    boxes: npt.NDArray[np.int32]
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.labels)


def choose(decoded: Decoded, spec: CropsSpec, shape: tuple[int, ...]) -> Crops | None:
    """Return the parts of a frame that a result chooses; ``None`` where it can hold no boxes.

    Boxes without an extent inside the frame, or with numbers that are not finite, are left out.

    Args:
        decoded: result of the task before.
        spec: which boxes count.
        shape: of the frame, (height, width, ...).
    """
    if isinstance(decoded, Detections):
        boxes, scores, labels = decoded.boxes, decoded.scores, decoded.labels
    elif isinstance(decoded, TextRegions):
        corners = decoded.quads
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).reshape(-1, 4)
        scores, labels = decoded.scores, decoded.texts
    else:
        return None
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)  # a network may give anything
    boxes = np.where(finite[:, None], boxes, 0.0)
    left_top, right_bottom = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    margin = (right_bottom - left_top) * spec.margin
    limit = np.asarray([shape[1], shape[0]])
    inside = np.concatenate(
        [
            np.clip(np.floor(left_top - margin), 0, limit),
            np.clip(np.ceil(right_bottom + margin), 0, limit),
        ],
        axis=1,
    ).astype(np.int32)
    wanted = [
        index
        for index in np.argsort(-scores, kind="stable").tolist()
        if finite[index]
        and scores[index] >= spec.min_score
        and (not spec.labels or labels[index] in spec.labels)
        and bool(np.all(inside[index, 2:] > inside[index, :2]))
    ][: spec.max_crops]
    return Crops(
        inside[wanted].reshape(-1, 4),
        np.asarray(scores[wanted], np.float32),
        tuple(labels[index] for index in wanted),
    )


def cut(
    frame: npt.NDArray[np.generic],
    crops: Crops,
    preprocess: PreprocessSpec,
    target: npt.NDArray[np.generic],
) -> None:
    """Write the crops of a frame into ``target``, in the network's size.

    Args:
        frame: uint8 [H, W, 3].
        crops: at least one.
        preprocess: size and way of resizing.
        target: uint8 [N, h, w, 3].
    """
    assert preprocess.size is not None
    for place, (left, top, right, bottom) in zip(target, crops.boxes.tolist(), strict=True):
        place[...] = resized(frame[top:bottom, left:right], preprocess, preprocess.size)
