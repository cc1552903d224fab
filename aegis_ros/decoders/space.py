"""Chooses, among a lidar network's candidate boxes, those that are reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.decoders.labels import name_of
from aegis_ros.decoders.results import Boxes3D
from aegis_ros.decoders.scores import likeliest

__all__ = ["YawSense", "choose_3d"]

_MAX_CANDIDATES = 3000
_FARTHEST_M = 1e6

Floats = npt.NDArray[np.float32]
YawSense = Annotated[
    Literal["counter_clockwise", "clockwise"],
    Field(description="sense in which the network counts yaw, seen from above"),
]


def choose_3d(
    boxes: Floats,
    scores: Floats,
    classes: npt.NDArray[np.int64],
    velocities: Floats | None,
    *,
    names: Sequence[str],
    threshold: float,
    min_distance_m: float,
    limit: int,
) -> Boxes3D:
    """Leave out what is unlikely, no box, or too close to a better one.

    Args:
        boxes: float32 [N, 7] as those of :class:`~aegis_ros.decoders.results.Boxes3D`.
        scores: float32 [N].
        classes: int64 [N].
        velocities: float32 [N, 2] in metres a second, or ``None``.
        names: of the classes.
        threshold: least score.
        min_distance_m: of boxes of one class whose centres are closer, the lesser goes.
        limit: largest number of boxes.
    """
    usable = (np.abs(boxes) <= _FARTHEST_M).all(axis=1) & (boxes[:, 3:6] > 0).all(axis=1)
    rows = np.nonzero((scores >= threshold) & usable)[0]
    rows = likeliest(rows, scores, _MAX_CANDIDATES)
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    if min_distance_m > 0:
        rows = _apart(
            boxes[:, :2].astype(np.float64), classes, rows, distance_m=min_distance_m, limit=limit
        )
    rows = rows[:limit]
    chosen = boxes[rows].astype(np.float32)
    turned = np.mod(chosen[:, 6].astype(np.float64) + np.pi, 2 * np.pi) - np.pi
    chosen[:, 6] = turned
    moving = None
    if velocities is not None:
        finite = np.nan_to_num(velocities[rows], nan=0.0, posinf=0.0, neginf=0.0)
        moving = np.where(np.abs(finite) <= _FARTHEST_M, finite, 0.0).astype(np.float32)
    return Boxes3D(
        boxes=chosen,
        scores=np.clip(scores[rows], 0.0, 1.0).astype(np.float32),
        labels=tuple(name_of(names, index) for index in classes[rows].tolist()),
        velocities=moving,
    )


def _apart(
    centres: npt.NDArray[np.float64],
    classes: npt.NDArray[np.int64],
    rows: npt.NDArray[np.intp],
    *,
    distance_m: float,
    limit: int,
) -> npt.NDArray[np.intp]:
    """Return the rows, best first, that keep their distance from all better ones of their class."""
    kept: list[int] = []
    while rows.size and len(kept) < limit:
        best, rest = rows[0], rows[1:]
        kept.append(int(best))
        near = np.hypot(*(centres[rest] - centres[best]).T) < distance_m
        rows = rest[~(near & (classes[rest] == classes[best]))]
    return np.asarray(kept, np.intp)
