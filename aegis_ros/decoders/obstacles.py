"""Obstacles from the bird's-eye grid of :mod:`aegis_ros.demo.bev`."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.results import Obstacles
from aegis_ros.errors import ConfigError, DecodeError

__all__ = ["ObstaclesDecoder", "ObstaclesOptions"]


class ObstaclesOptions(Options):
    """Options of the ``bev_obstacles`` decoder."""

    range_m: Annotated[float, Shown("that in the file")] = Field(
        0.0, ge=0.0, description="half the edge of the grid in metres"
    )
    gap_cells: int = Field(
        2, ge=0, le=20, description="cells closer than this belong to one obstacle"
    )
    min_cells: int = Field(3, ge=1, description="obstacles with fewer cells are left out")
    max_obstacles: int = Field(
        200, ge=1, le=2000, description="largest number of obstacles, the nearest ones"
    )


class ObstaclesDecoder:
    """Reads ``obstacle`` [X, Y] (0 or 1) and ``height`` [X, Y] in metres above the ground."""

    OPTIONS = ObstaclesOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(ObstaclesOptions, context.options)
        self._mask = pick(context, "", 0, (2,)).name
        self._height = pick(context, "", 1, (2,)).name
        self._range = self._options.range_m
        if not self._range:
            try:
                self._range = float(context.metadata["bev_range_m"])
            except (KeyError, ValueError) as error:
                raise ConfigError(
                    "the network file does not say how far its grid reaches",
                    where="output.options.range_m",
                    expected="half the edge of the grid in metres",
                ) from error

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Obstacles:
        """Return connected groups of obstacle cells, nearest first."""
        options = self._options
        values = take(outputs, self._mask, [None, None])
        if not values.size:
            raise DecodeError(
                "the grid has no cells",
                where=f"outputs.{self._mask}",
                value=list(values.shape),
                expected="a length and a width of at least 1",
            )
        height = take(outputs, self._height, list(values.shape))
        mask = (values > 0.5).astype(np.uint8)
        resolution = 2.0 * self._range / mask.shape[0]
        joined = mask
        if options.gap_cells:
            kernel = np.ones((options.gap_cells + 1,) * 2, np.uint8)
            joined = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel), np.uint8)
        count, groups = cv2.connectedComponents(joined, connectivity=8)
        rows, columns = np.nonzero(mask)
        group = np.asarray(groups)[rows, columns]
        x = rows * resolution - self._range
        y = columns * resolution - self._range
        far = np.hypot(x + resolution / 2, y + resolution / 2)
        cells = np.bincount(group, minlength=count)
        low = np.full((count, 2), np.inf)
        high = np.full((count, 2), -np.inf)
        top = np.zeros(count)
        near = np.full(count, np.inf)
        corner = np.stack([x, y], axis=1)
        np.minimum.at(low, group, corner)
        np.maximum.at(high, group, corner + resolution)
        np.maximum.at(top, group, height[rows, columns])
        np.minimum.at(near, group, far)
        kept = np.nonzero(cells >= options.min_cells)[0]
        kept = kept[kept > 0]
        kept = kept[np.argsort(near[kept], kind="stable")][: options.max_obstacles]
        return Obstacles(
            boxes=np.concatenate([low[kept], high[kept]], axis=1).astype(np.float32),
            heights=top[kept].astype(np.float32),
            distances=near[kept].astype(np.float32),
            mask=mask,
            origin=(-self._range, -self._range),
            resolution=resolution,
        )
