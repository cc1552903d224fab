"""The marks that pictures of results are made with: colours, lines and name tags."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["FONT", "PALETTE", "Image", "Rgb", "colour_of", "line_of", "tag"]

Image = npt.NDArray[np.uint8]
Rgb = tuple[int, int, int]

# Bright enough for dark frames, dark enough for white label text; distinguished by hue.
PALETTE: tuple[Rgb, ...] = (
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
FONT = cv2.FONT_HERSHEY_SIMPLEX


def tag(
    canvas: Image, text: str, corner: tuple[int, int], colour: Rgb, *, below: bool = False
) -> int:
    """Write white text on a filled box at a corner; return the box's lower edge."""
    scale = max(0.4, min(canvas.shape[0], canvas.shape[1]) / 1100)
    weight = max(1, round(scale * 1.6))
    (width, height), base = cv2.getTextSize(text, FONT, scale, weight)
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
        FONT,
        scale,
        (255, 255, 255),
        weight,
        cv2.LINE_AA,
    )
    return int(top + tall)


def line_of(canvas: Image) -> int:
    """Return how wide lines are in a picture, in pixels."""
    return max(1, round(int(min(canvas.shape[:2])) / 300))


def colour_of(label: str) -> Rgb:
    """Return the colour of a class, the same in every picture."""
    return PALETTE[zlib.crc32(label.encode()) % len(PALETTE)]
