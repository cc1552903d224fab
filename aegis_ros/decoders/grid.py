"""The cells of a detector without anchors, in the order its outputs have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.frame import FrameInfo

__all__ = ["cells"]


def cells(
    frame: FrameInfo, strides: Sequence[int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return column and row [N, 2] of each cell, and its edge [N, 1] in pixels.

    Args:
        frame: size of the network's input.
        strides: edge of the cells of each level.
    """
    places, edges = [], []
    for stride in strides:
        rows, columns = -(-frame.input_height // stride), -(-frame.input_width // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        places.append(np.stack([x, y], axis=1))
        edges.append(np.full((rows * columns, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(edges).astype(np.float32)
