"""Peaks of heat maps: cells that no neighbour exceeds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["peaks"]

_MOST = 3000

Indices = npt.NDArray[np.int64]


def peaks(
    heat: npt.NDArray[np.float32], threshold: float
) -> tuple[Indices, Indices, Indices, npt.NDArray[np.float32]]:
    """Return channel [N], row [N], column [N] and value [N] of the peaks, at most 3000.

    Args:
        heat: float32 [C, h, w].
        threshold: least value of a peak.
    """
    channels, rows, columns = np.nonzero(heat >= threshold)
    values = heat[channels, rows, columns]
    if len(values) > _MOST:  # garbage: keep what follows cheap
        best = np.argpartition(-values, _MOST)[:_MOST]
        channels, rows, columns, values = channels[best], rows[best], columns[best], values[best]
    # Only the likely cells are compared, not the whole map.
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    highest = np.max(
        [padded[channels, rows + down, columns + right] for down in range(3) for right in range(3)],
        axis=0,
        initial=-np.inf,
    )
    top = values >= highest
    return (
        channels[top].astype(np.int64),
        rows[top].astype(np.int64),
        columns[top].astype(np.int64),
        values[top].astype(np.float32),
    )
