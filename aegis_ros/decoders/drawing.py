"""Draws results into the frame they were made from."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.birds_eye import boxes_from_above, obstacles_from_above
from aegis_ros.decoders.coco_person import BONES, KEYPOINTS
from aegis_ros.decoders.labels import name_of
from aegis_ros.decoders.marks import PALETTE, Image, Rgb, colour_of, line_of, tag
from aegis_ros.decoders.results import (
    Boxes3D,
    Classification,
    Decoded,
    DepthMap,
    Detections,
    Embedding,
    Obstacles,
    SegmentationMask,
    TextRegions,
)

__all__ = ["draw"]

_SURE = 0.3  # keypoints with a lesser score are not drawn


def draw(decoded: Decoded, image_rgb: npt.NDArray[np.generic] | None = None) -> Image:
    """Return a picture of the result.

    Args:
        decoded: what to draw.
        image_rgb: uint8 [H, W, 3] RGB frame, which is not changed; float32 [H, W] depth is shown
            in grey. For what a lidar found float32 [N, 4] points, or ``None``.

    Returns:
        uint8 [H, W, 3] RGB: the frame with the result drawn in, or for what a lidar found a
        bird's-eye view, 800 x 800, x forward up, y left.
    """
    if isinstance(decoded, Obstacles):
        return obstacles_from_above(decoded, image_rgb)
    if isinstance(decoded, Boxes3D):
        return boxes_from_above(decoded, image_rgb)
    if isinstance(decoded, DepthMap):
        return _depth(decoded)
    canvas = _canvas(image_rgb)
    if isinstance(decoded, Detections):
        _detections(canvas, decoded)
    elif isinstance(decoded, TextRegions):
        _text(canvas, decoded)
    elif isinstance(decoded, Classification):
        _classification(canvas, decoded)
    elif isinstance(decoded, SegmentationMask):
        return _segmentation(canvas, decoded)
    elif isinstance(decoded, Embedding):
        tag(canvas, f"vector of {decoded.vector.size} numbers", (4, 4), PALETTE[0], below=True)
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
    line = line_of(canvas)
    if found.instances is not None:
        _tint(canvas, found.instances, [colour_of(label) for label in found.labels])
    # Worst first: the best lies on top.
    for index in range(len(found.labels) - 1, -1, -1):
        label, score = found.labels[index], found.scores[index]
        colour = colour_of(label)
        left, top, right, bottom = (round(float(edge)) for edge in found.boxes[index])
        if found.turned is None:
            cv2.rectangle(canvas, (left, top), (right, bottom), colour, line, cv2.LINE_AA)
        else:
            x, y, width, height, angle = found.turned[index].tolist()
            corners = cv2.boxPoints(((x, y), (width, height), np.degrees(angle)))
            cv2.polylines(canvas, [np.int32(corners)], True, colour, line, cv2.LINE_AA)
        if found.landmarks is not None:
            _keypoints(canvas, found, index, colour)
        # A crowd of small boxes would vanish behind its own labels.
        if right - left >= 40 or len(found.boxes) <= 10:
            tag(canvas, f"{label} {score:.0%}", (left, top), colour)


def _keypoints(canvas: Image, found: Detections, index: int, colour: Rgb) -> None:
    assert found.landmarks is not None
    places = [(round(float(x)), round(float(y))) for x, y in found.landmarks[index]]
    shown = np.ones(len(places), bool)
    if found.landmark_scores is not None:
        shown = found.landmark_scores[index] >= _SURE
    line = line_of(canvas)
    if found.landmark_names == KEYPOINTS:
        for first, second in BONES:
            if shown[first] and shown[second]:
                cv2.line(canvas, places[first], places[second], colour, line, cv2.LINE_AA)
    width = float(found.boxes[index, 2] - found.boxes[index, 0])
    dot = min(line + 1, max(1, int(width) // 24))
    for place in (place for place, sure in zip(places, shown, strict=True) if sure):
        cv2.circle(canvas, place, dot + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(canvas, place, dot, colour, -1, cv2.LINE_AA)


def _tint(canvas: Image, labels: npt.NDArray[np.uint8], colours: Sequence[Rgb]) -> None:
    """Colour the pixels of a label image, 0 left out, in place."""
    table = np.zeros((256, 3), np.uint8)
    table[1 : len(colours) + 1] = np.asarray(colours, np.uint8).reshape(-1, 3)
    if labels.shape != canvas.shape[:2]:
        size = canvas.shape[1::-1]
        labels = np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    tinted = cv2.addWeighted(canvas, 0.5, table[labels], 0.5, 0)
    np.copyto(canvas, tinted, where=(labels > 0)[:, :, None])


def _depth(found: DepthMap) -> Image:
    """Return distances in colours, near is warm; black is too near, too far or unknown."""
    known = np.isfinite(found.metres)
    near, far = np.percentile(found.metres[known], (2, 98)) if known.any() else (0.0, 1.0)
    share = (found.metres - near) / max(1e-6, far - near)
    level = np.where(known, 255 - np.clip(np.where(known, share, 0.0), 0.0, 1.0) * 255, 0)
    colours = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_TURBO)
    picture = np.ascontiguousarray(colours[:, :, ::-1])
    picture[~known] = 0
    if known.any():
        tag(picture, f"{near:.1f} to {far:.1f} m", (4, 4), PALETTE[0], below=True)
    return picture


def _text(canvas: Image, found: TextRegions) -> None:
    line = line_of(canvas)
    for quad, text, score in zip(found.quads, found.texts, found.scores, strict=True):
        colour = PALETTE[2]
        corners = np.round(quad).astype(np.int32)
        cv2.polylines(canvas, [corners], True, colour, line, cv2.LINE_AA)
        if text:
            readable = text.encode("ascii", "replace").decode()
            place = (int(corners[0, 0]), int(corners[0, 1]))
            tag(canvas, f"{readable} {score:.0%}", place, colour)


def _classification(canvas: Image, found: Classification) -> None:
    y = 4
    for label, score in zip(found.labels, found.scores, strict=True):
        y = tag(canvas, f"{label} {score:.0%}", (4, y), colour_of(label), below=True) + 3


def _segmentation(canvas: Image, found: SegmentationMask) -> Image:
    _tint(canvas, found.mask, [PALETTE[index % len(PALETTE)] for index in range(255)])
    y = 4
    for index in np.unique(found.mask[found.mask > 0]).tolist()[:12]:
        colour = PALETTE[(index - 1) % len(PALETTE)]
        y = tag(canvas, name_of(found.labels, index), (4, y), colour, below=True) + 3
    return canvas
