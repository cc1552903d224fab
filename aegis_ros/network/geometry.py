"""Where a pixel of the network's input lies in the source frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Letterbox", "centred", "letterbox"]


@dataclass(frozen=True, slots=True)
class Letterbox:
    """A frame scaled by one factor and centred in the network's input; all in pixels."""

    inner_height: int
    inner_width: int
    top: int
    left: int


def letterbox(frame: tuple[int, int], target: tuple[int, int]) -> Letterbox:
    """Return how a (height, width) frame lies in a (height, width) target.

    The arithmetic is that of the fused graph, float32 included, so that both round alike.
    """
    extents = np.asarray(frame, np.float32)
    factor = np.min(np.asarray(target, np.float32) / extents)
    inner = np.floor(extents * factor + np.float32(0.5)).astype(np.int64)
    inner = np.minimum(np.maximum(inner, 1), target)
    height, width = (int(extent) for extent in inner)
    return Letterbox(height, width, (target[0] - height) // 2, (target[1] - width) // 2)


def centred(frame: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Return top and left of a (height, width) frame in the middle of a (height, width) target.

    Negative where the frame is larger, and the target its middle; the odd pixel is below and right.
    """
    top, left = (
        (there - here) // 2 if there >= here else -((here - there) // 2)
        for here, there in zip(frame, target, strict=True)
    )
    return top, left
