"""Lays a map of numbers over the frame that it was made from."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.frame import FrameInfo

__all__ = ["lay"]


def lay(
    values: npt.NDArray[np.float32],
    frame: FrameInfo,
    *,
    window: tuple[int, int, int, int] | None = None,
    covers: tuple[float, float, float, float] | None = None,
    linear: bool = True,
) -> npt.NDArray[np.float32]:
    """Return a map in the frame's pixels.

    Args:
        values: float32 [h, w], at least one number.
        frame: sizes of frame and input.
        window: left, top, right and bottom of the part of the frame that is wanted, in pixels;
            ``None`` for all of it.
        covers: left, top, right and bottom of what the map lies over, in pixels of the network's
            input; ``None`` for all of it.
        linear: whether to interpolate; else the nearest number counts.

    Returns:
        float32 [H, W] of the window's size.
    """
    left, top, right, bottom = window or (0, 0, frame.width, frame.height)
    first_x, first_y, last_x, last_y = covers or (0.0, 0.0, frame.input_width, frame.input_height)
    inner_top, inner_left, inner_height, inner_width = frame.inner
    step_x, step_y = inner_width / frame.width, inner_height / frame.height  # of frame to input
    cells_x = values.shape[1] / max(1e-6, last_x - first_x)
    cells_y = values.shape[0] / max(1e-6, last_y - first_y)
    # The centre of a pixel is at 0.5, in the frame, in the input and in the map.
    start_x = ((left + 0.5) * step_x + inner_left - first_x) * cells_x - 0.5
    start_y = ((top + 0.5) * step_y + inner_top - first_y) * cells_y - 0.5
    way = np.asarray([[step_x * cells_x, 0.0, start_x], [0.0, step_y * cells_y, start_y]])
    laid = cv2.warpAffine(
        np.ascontiguousarray(values, np.float32),
        way,
        (right - left, bottom - top),
        flags=(cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST) | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(laid, np.float32)
