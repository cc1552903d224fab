"""Draws results into the frame they were made from."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.labels import name_of
from aegis_ros.decoders.results import (
    Classification,
    Decoded,
    Detections,
    Obstacles,
    SegmentationMask,
    TextRegions,
)

__all__ = ["draw"]

Image = npt.NDArray[np.uint8]
Rgb = tuple[int, int, int]

# Bright enough for dark frames, dark enough for white label text; distinguished by hue.
_PALETTE: tuple[Rgb, ...] = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 140, 100),
    (204, 80, 150),
    (120, 70, 200),
    (190, 140, 0),
    (30, 150, 210),
    (200, 40, 50),
    (90, 130, 30),
    (110, 110, 110),
)
_BEV_PIXELS = 800
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw(decoded: Decoded, image_rgb: npt.NDArray[np.generic] | None = None) -> Image:
    """Return a picture of the result.

    Args:
        decoded: what to draw.
        image_rgb: uint8 [H, W, 3] RGB frame, which is not changed; float32 [H, W] depth is shown
            in grey. For obstacles float32 [N, 4] points, or ``None``.

    Returns:
        uint8 [H, W, 3] RGB: the frame with the result drawn in, or for obstacles a bird's-eye
        view, 800 x 800, x forward up, y left.
    """
    if isinstance(decoded, Obstacles):
        return _obstacles(decoded, image_rgb)
    canvas = _canvas(image_rgb)
    if isinstance(decoded, Detections):
        _detections(canvas, decoded)
    elif isinstance(decoded, TextRegions):
        _text(canvas, decoded)
    elif isinstance(decoded, Classification):
        _classification(canvas, decoded)
    elif isinstance(decoded, SegmentationMask):
        return _segmentation(canvas, decoded)
    return canvas


def _canvas(image: npt.NDArray[np.generic] | None) -> Image:
    if image is None:
        return np.full((480, 640, 3), 40, np.uint8)
    if image.ndim == 2:  # depth in metres: near is bright
        depth = np.nan_to_num(image.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        top = float(depth.max()) or 1.0
        grey = np.where(depth > 0, 255 - depth / top * 220, 0).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    return np.array(image, np.uint8, copy=True, order="C")


def _detections(canvas: Image, found: Detections) -> None:
    line = _line(canvas)
    marks: Sequence[npt.NDArray[np.float32]] = (
        [np.zeros((0, 2), np.float32)] * len(found.boxes)
        if found.landmarks is None
        else list(found.landmarks)
    )
    # Worst first: the best lies on top.
    for box, score, label, points in reversed(
        list(zip(found.boxes, found.scores, found.labels, marks, strict=True))
    ):
        colour = _colour(label)
        left, top, right, bottom = (round(float(edge)) for edge in box)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
        dot = min(line + 1, max(1, (right - left) // 24))
        for x, y in points:
            centre = (round(float(x)), round(float(y)))
            cv2.circle(canvas, centre, dot + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(canvas, centre, dot, colour, -1, cv2.LINE_AA)
        # A crowd of small boxes would vanish behind its own labels.
        if right - left >= 40 or len(found.boxes) <= 10:
            _tag(canvas, f"{label} {score:.0%}", (left, top), colour)


def _text(canvas: Image, found: TextRegions) -> None:
    line = _line(canvas)
    for quad, text, score in zip(found.quads, found.texts, found.scores, strict=True):
        colour = _PALETTE[2]
        corners = np.round(quad).astype(np.int32)
        cv2.polylines(canvas, [corners], True, colour, line, cv2.LINE_AA)
        if text:
            readable = text.encode("ascii", "replace").decode()
            place = (int(corners[0, 0]), int(corners[0, 1]))
            _tag(canvas, f"{readable} {score:.0%}", place, colour)


def _classification(canvas: Image, found: Classification) -> None:
    y = 4
    for label, score in zip(found.labels, found.scores, strict=True):
        y = _tag(canvas, f"{label} {score:.0%}", (4, y), _colour(label), below=True) + 3


def _segmentation(canvas: Image, found: SegmentationMask) -> Image:
    table = np.zeros((256, 3), np.uint8)
    for index in range(1, 256):
        table[index] = _PALETTE[(index - 1) % len(_PALETTE)]
    mask = found.mask
    if mask.shape != canvas.shape[:2]:
        mask = np.asarray(
            cv2.resize(mask, canvas.shape[1::-1], interpolation=cv2.INTER_NEAREST), np.uint8
        )
    tinted = np.asarray(cv2.addWeighted(canvas, 0.5, table[mask], 0.5, 0), np.uint8)
    result = np.where((mask > 0)[:, :, None], tinted, canvas)
    y = 4
    for index in np.unique(mask[mask > 0]).tolist()[:12]:
        colour = _PALETTE[(index - 1) % len(_PALETTE)]
        y = _tag(result, name_of(found.labels, index), (4, y), colour, below=True) + 3
    return result


def _obstacles(found: Obstacles, points: npt.NDArray[np.generic] | None) -> Image:
    size = _BEV_PIXELS
    canvas = np.full((size, size, 3), (24, 27, 33), np.uint8)
    reach = max(1e-6, found.resolution * found.mask.shape[0])
    scale = size / reach

    def pixel(x: float, y: float) -> tuple[int, int]:
        return (
            round(size - (y - found.origin[1]) * scale),
            round(size - (x - found.origin[0]) * scale),
        )

    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1e9) if reach / 2 / step <= 5)
    centre = pixel(0.0, 0.0)
    for ring in range(1, int(reach / 2 / step) + 1):
        cv2.circle(canvas, centre, round(ring * step * scale), (52, 58, 68), 1, cv2.LINE_AA)
        cv2.putText(
            canvas,
            f"{ring * step:g} m",
            (centre[0] + 4, centre[1] - round(ring * step * scale) + 14),
            _FONT,
            0.4,
            (120, 130, 145),
            1,
            cv2.LINE_AA,
        )
    if points is not None and points.ndim == 2 and points.shape[1] >= 3:
        _scatter(canvas, points.astype(np.float32), found, scale)
    mask = np.asarray(found.mask[::-1, ::-1], np.uint8)
    shown = np.asarray(cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST), bool)
    canvas[shown] = (240, 120, 40)
    for box, height in zip(found.boxes, found.heights, strict=True):
        low, high = pixel(box[0], box[1]), pixel(box[2], box[3])
        cv2.rectangle(canvas, high, low, (90, 200, 255), 1, cv2.LINE_AA)
        if min(low[0] - high[0], low[1] - high[1]) > 8:
            cv2.putText(
                canvas,
                f"{height:.1f}",
                (high[0], high[1] - 3),
                _FONT,
                0.35,
                (190, 230, 255),
                1,
                cv2.LINE_AA,
            )
    x, y = centre
    arrow = np.asarray([[x, y - 10], [x - 6, y + 6], [x + 6, y + 6]], np.int32)
    cv2.fillPoly(canvas, [arrow], (255, 255, 255), cv2.LINE_AA)
    caption = f"{len(found.boxes)} obstacles"
    if len(found.distances):
        caption += f", nearest {found.distances[0]:.1f} m"
    _tag(canvas, caption, (6, 6), _PALETTE[0], below=True)
    return canvas


def _scatter(
    canvas: Image, points: npt.NDArray[np.float32], found: Obstacles, scale: float
) -> None:
    size = len(canvas)
    finite = points[np.isfinite(points[:, :3]).all(axis=1)]
    with np.errstate(over="ignore", invalid="ignore"):
        columns = size - (finite[:, 1] - found.origin[1]) * scale
        rows = size - (finite[:, 0] - found.origin[0]) * scale
    inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
    canvas[rows[inside].astype(int), columns[inside].astype(int)] = (112, 124, 140)


def _tag(
    canvas: Image, text: str, corner: tuple[int, int], colour: Rgb, *, below: bool = False
) -> int:
    """Write white text on a filled box at a corner; return the box's lower edge."""
    scale = max(0.4, min(canvas.shape[0], canvas.shape[1]) / 1100)
    weight = max(1, round(scale * 1.6))
    (width, height), base = cv2.getTextSize(text, _FONT, scale, weight)
    pad = max(2, round(3 * scale))
    left = min(max(0, corner[0]), max(0, canvas.shape[1] - width - 2 * pad))
    tall = height + base + 2 * pad
    top = corner[1] if below or corner[1] - tall < 0 else corner[1] - tall
    top = min(max(0, top), max(0, canvas.shape[0] - tall))
    cv2.rectangle(canvas, (left, top), (left + width + 2 * pad, top + tall), colour, -1)
    cv2.putText(
        canvas,
        text,
        (left + pad, top + pad + height),
        _FONT,
        scale,
        (255, 255, 255),
        weight,
        cv2.LINE_AA,
    )
    return int(top + tall)


def _line(canvas: Image) -> int:
    return max(1, round(int(min(canvas.shape[:2])) / 300))


def _colour(label: str) -> Rgb:
    return _PALETTE[zlib.crc32(label.encode()) % len(_PALETTE)]
