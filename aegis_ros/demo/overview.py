"""Puts the annotated frames of all tasks on one sheet."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["contact_sheet"]

_TILE = (360, 480)
_TITLE = 28
_COLUMNS = 3
_BACKGROUND = 24

Picture = npt.NDArray[np.uint8]


def contact_sheet(pictures: Mapping[str, Picture]) -> Picture:
    """Return all pictures beside each other, each under its name.

    Args:
        pictures: BGR uint8 [H, W, 3] by name, at least one.

    Returns:
        BGR uint8 [rows * 360, 1440, 3].
    """
    tiles = [_tile(name, picture) for name, picture in pictures.items()]
    while len(tiles) % _COLUMNS:
        tiles.append(_empty())
    rows = [np.hstack(tiles[at : at + _COLUMNS]) for at in range(0, len(tiles), _COLUMNS)]
    return np.vstack(rows)


def _empty() -> Picture:
    return np.full((*_TILE, 3), _BACKGROUND, np.uint8)


def _tile(name: str, picture: Picture) -> Picture:
    tile = _empty()
    height, width = picture.shape[:2]
    free = _TILE[0] - _TITLE
    scale = min(free / height, _TILE[1] / width)
    extent = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(picture, extent, interpolation=way)
    top, left = _TITLE + (free - extent[1]) // 2, (_TILE[1] - extent[0]) // 2
    tile[top : top + extent[1], left : left + extent[0]] = small
    title = name.replace("_", " ")
    where, white = (8, 20), (235, 235, 235)
    cv2.putText(tile, title, where, cv2.FONT_HERSHEY_SIMPLEX, 0.55, white, 1, cv2.LINE_AA)
    return tile
