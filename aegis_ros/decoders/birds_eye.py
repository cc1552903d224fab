"""Draws what a lidar found, seen from above: x forward is up, y left."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.marks import FONT, PALETTE, Image, colour_of, tag
from aegis_ros.decoders.results import Boxes3D, Obstacles

__all__ = ["boxes_from_above", "obstacles_from_above"]

_PIXELS = 800
_LEAST_REACH_M, _MOST_REACH_M = 5.0, 500.0

Points = npt.NDArray[np.generic] | None


@dataclass(frozen=True, slots=True)
class _View:
    """Where metres lie in the picture.

    Attributes:
        origin: x and y of the lower right corner in metres.
        reach: edge of the picture in metres.
    """

    origin: tuple[float, float]
    reach: float

    @property
    def scale(self) -> float:
        """Pixels a metre."""
        return _PIXELS / self.reach

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """Return column and row of a place."""
        return (
            round(_PIXELS - (y - self.origin[1]) * self.scale),
            round(_PIXELS - (x - self.origin[0]) * self.scale),
        )


def obstacles_from_above(found: Obstacles, points: Points) -> Image:
    """Return uint8 [800, 800, 3] with obstacle cells, their boxes and heights.

    Args:
        found: what to draw.
        points: float32 [N, 3 or more] points of the scan, or ``None``.
    """
    view = _View(found.origin, max(1e-6, found.resolution * found.mask.shape[0]))
    canvas = _ground(view, points)
    mask = np.asarray(found.mask[::-1, ::-1], np.uint8)
    size = (_PIXELS, _PIXELS)
    shown = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), bool)
    canvas[shown] = (240, 120, 40)
    for box, height in zip(found.boxes, found.heights, strict=True):
        low, high = view.pixel(box[0], box[1]), view.pixel(box[2], box[3])
        cv2.rectangle(canvas, high, low, (90, 200, 255), 1, cv2.LINE_AA)
        if min(low[0] - high[0], low[1] - high[1]) > 8:
            place = (high[0], high[1] - 3)
            _write(canvas, f"{height:.1f}", place, scale=0.35, colour=(190, 230, 255))
    _sensor(canvas, view)
    caption = f"{len(found.boxes)} obstacles"
    if len(found.distances):
        caption += f", nearest {found.distances[0]:.1f} m"
    tag(canvas, caption, (6, 6), PALETTE[0], below=True)
    return canvas


def boxes_from_above(found: Boxes3D, points: Points) -> Image:
    """Return uint8 [800, 800, 3] with the boxes, a line to the front of each.

    Args:
        found: what to draw.
        points: as of :func:`obstacles_from_above`.
    """
    far = _LEAST_REACH_M
    if len(found.boxes):
        far = float(np.abs(found.boxes[:, :2]).max() + found.boxes[:, 3:5].max())
    elif points is not None and points.ndim == 2 and points.shape[1] >= 3 and len(points):
        away = np.abs(np.nan_to_num(points[:, :2].astype(np.float64), posinf=0.0, neginf=0.0))
        far = float(np.percentile(away, 99))
    far = min(max(far * 1.1, _LEAST_REACH_M), _MOST_REACH_M)
    view = _View((-far, -far), 2 * far)
    canvas = _ground(view, points)
    rows = zip(found.boxes.tolist(), found.labels, found.scores.tolist(), strict=True)
    for (x, y, _, length, width, _, yaw), label, score in reversed(list(rows)):
        if max(abs(x), abs(y)) > far:
            continue
        ahead = np.asarray([np.cos(yaw), np.sin(yaw)]) * length / 2
        aside = np.asarray([-np.sin(yaw), np.cos(yaw)]) * width / 2
        centre = np.asarray([x, y])
        corners = [centre + ahead + aside, centre + ahead - aside]
        corners += [centre - ahead - aside, centre - ahead + aside]
        colour = colour_of(label)
        outline = np.asarray([view.pixel(*corner) for corner in corners], np.int32)
        cv2.polylines(canvas, [outline], True, colour, 2, cv2.LINE_AA)
        cv2.line(canvas, view.pixel(x, y), view.pixel(*(centre + ahead)), colour, 2, cv2.LINE_AA)
        if len(found.boxes) <= 30:
            left, top = outline.min(axis=0).tolist()
            tag(canvas, f"{label} {score:.0%}", (left, top), colour)
    _sensor(canvas, view)
    tag(canvas, f"{len(found.boxes)} boxes", (6, 6), PALETTE[0], below=True)
    return canvas


def _ground(view: _View, points: Points) -> Image:
    """Return the picture with rings of equal distance, and the scan."""
    canvas = np.full((_PIXELS, _PIXELS, 3), (24, 27, 33), np.uint8)
    half = view.reach / 2
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1e9) if half / step <= 5)
    centre = view.pixel(0.0, 0.0)
    for ring in range(1, int(half / step) + 1):
        radius = round(ring * step * view.scale)
        cv2.circle(canvas, centre, radius, (52, 58, 68), 1, cv2.LINE_AA)
        place = (centre[0] + 4, centre[1] - radius + 14)
        _write(canvas, f"{ring * step:g} m", place, scale=0.4, colour=(120, 130, 145))
    if points is not None and points.ndim == 2 and points.shape[1] >= 3:
        _scatter(canvas, points.astype(np.float32), view)
    return canvas


def _sensor(canvas: Image, view: _View) -> None:
    x, y = view.pixel(0.0, 0.0)
    arrow = np.asarray([[x, y - 10], [x - 6, y + 6], [x + 6, y + 6]], np.int32)
    cv2.fillPoly(canvas, [arrow], (255, 255, 255), cv2.LINE_AA)


def _scatter(canvas: Image, points: npt.NDArray[np.float32], view: _View) -> None:
    finite = points[np.isfinite(points[:, :3]).all(axis=1)]
    with np.errstate(over="ignore", invalid="ignore"):
        columns = _PIXELS - (finite[:, 1] - view.origin[1]) * view.scale
        rows = _PIXELS - (finite[:, 0] - view.origin[0]) * view.scale
    inside = (columns >= 0) & (columns < _PIXELS) & (rows >= 0) & (rows < _PIXELS)
    canvas[rows[inside].astype(int), columns[inside].astype(int)] = (112, 124, 140)


def _write(
    canvas: Image,
    text: str,
    place: tuple[int, int],
    *,
    scale: float,
    colour: tuple[int, int, int],
) -> None:
    cv2.putText(canvas, text, place, FONT, scale, colour, 1, cv2.LINE_AA)
