"""Boxes in space of PointPillars and SECOND: what each anchor of a bird's-eye view has become."""

from __future__ import annotations

from math import pi
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.heads import named_heads
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Labels, Threshold
from aegis_ros.decoders.results import Boxes3D
from aegis_ros.decoders.scores import best_class, likeliest, sigmoid
from aegis_ros.decoders.space import choose_3d
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["Anchors3DDecoder", "Anchors3DOptions"]

_BOX = 7  # numbers of a box: three of its place, three of its size, yaw
_DIRECTIONS = 2
_MAX_CANDIDATES = 3000
# Each head with the words that its output may be called by, in the usual order.
_HEADS = {"scores": ("cls", "score"), "boxes": ("box", "reg"), "directions": ("dir",)}

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_Metres = Annotated[float, Field(ge=-1000.0, le=1000.0)]
_Radians = Annotated[float, Field(ge=-7.0, le=7.0)]


class Anchors3DOptions(Options):
    """Options of the ``anchors_3d`` decoder."""

    range_m: tuple[_Metres, _Metres, _Metres, _Metres] = Field(
        description="x and y at least, x and y at most: of the network's point range"
    )
    anchors: list[tuple[_Metres, _Metres, _Metres, _Metres]] = Field(
        min_length=1,
        max_length=32,
        description="length, width, height and z of the bottom of each anchor, in the network's "
        "order; every one stands in every cell in all `rotations`",
    )
    rotations: Annotated[list[_Radians], Shown("0 and a quarter turn")] = Field(
        default_factory=lambda: [0.0, pi / 2], min_length=1, max_length=16, description="radians"
    )
    align_center: bool = Field(
        False,
        description="anchors stand in the middle of cells; else the first and the last stand on "
        "the edge of the range",
    )
    size_order: Literal["lwh", "wlh"] = Field(
        "lwh", description="order of the sizes in the output; `wlh` for older networks"
    )
    direction_offset: float = Field(
        pi / 4, ge=-7.0, le=7.0, description="radians: `dir_offset` in the network's config"
    )
    direction_limit: float = Field(
        0.0, ge=-1.0, le=1.0, description="`dir_limit_offset` in the network's config"
    )
    threshold: Threshold = 0.3
    min_distance_m: float = Field(
        0.5,
        ge=0.0,
        le=100.0,
        description="of boxes of one class whose centres are closer, the lesser goes",
    )
    max_boxes: int = Field(200, ge=1, le=1000, description="largest number of boxes")
    labels: Labels = ""
    heads: Annotated[dict[str, str], Shown("by their names, else in this order")] = Field(
        default_factory=dict,
        max_length=3,
        description="output of each head: `scores`, `boxes` and, where there is one, `directions`",
    )


class Anchors3DDecoder:
    """Reads class logits, boxes and directions, [1, A * n, Y, X] or [1, Y, X, A * n]."""

    OPTIONS = Anchors3DOptions

    def __init__(self, context: DecoderContext) -> None:
        """Find the heads and check the options against them."""
        self._options = options = parse(Anchors3DOptions, context.options)
        least_x, least_y, most_x, most_y = options.range_m
        if most_x <= least_x or most_y <= least_y:
            raise ConfigError(
                "the range is empty",
                where="output.options.range_m",
                value=list(options.range_m),
                expected="x and y at least, then larger x and y at most",
            )
        if any(min(each[:3]) <= 0 for each in options.anchors):
            raise ConfigError(
                "an anchor has no extent",
                where="output.options.anchors",
                value=[list(each) for each in options.anchors],
                expected="length, width and height above 0, then z",
            )
        self._each = len(options.anchors) * len(options.rotations)
        self._names = named_heads(
            context,
            _HEADS,
            options.heads,
            least=2,
            network="PointPillars",
            expected="scores, boxes and perhaps directions",
            order=("directions", "boxes", "scores"),  # "dir_cls_pred" is called by "cls", too
        )
        boxes = pick(context, self._names["boxes"], 1, (4,))
        self._last = _channels_last(boxes, self._each * _BOX)
        classes = self._channels(pick(context, self._names["scores"], 0, (4,)))
        self._classes = None if classes is None else classes // self._each
        for head, numbers in (("scores", None), ("boxes", _BOX), ("directions", _DIRECTIONS)):
            if head in self._names:
                self._require(pick(context, self._names[head], 0, (4,)), head, numbers)
        self._labels = class_names(options.labels, context.metadata, self._classes)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Boxes3D:
        """Return the boxes in metres of the sensor's frame."""
        options = self._options
        logits, extents = self._rows(outputs, "scores", self._classes)
        found, classes = best_class(sigmoid(logits))
        rows = np.nonzero(found >= options.threshold)[0]
        rows = likeliest(rows, found, _MAX_CANDIDATES)
        change = self._rows(outputs, "boxes", _BOX, extents)[0][rows].astype(np.float64)
        boxes = self._become(self._anchors(rows, extents), change)
        if "directions" in self._names:
            towards = self._rows(outputs, "directions", _DIRECTIONS, extents)[0][rows]
            half = towards.argmax(axis=1)
            turned = boxes[:, 6] - options.direction_offset
            with np.errstate(invalid="ignore"):  # what is turned infinitely far is no box
                turned -= np.floor(turned / pi + options.direction_limit) * pi
            boxes[:, 6] = turned + options.direction_offset + pi * half
        with np.errstate(over="ignore"):
            rounded = boxes.astype(np.float32)
        return choose_3d(
            rounded,
            found[rows],
            classes[rows],
            None,
            names=self._labels,
            threshold=options.threshold,
            min_distance_m=options.min_distance_m,
            limit=options.max_boxes,
        )

    def _rows(
        self,
        outputs: Outputs,
        head: str,
        numbers: int | None,
        extents: tuple[int, int] | None = None,
    ) -> tuple[Floats, tuple[int, int]]:
        """Return the numbers [Y * X * A, n] of a head for each anchor, and (Y, X)."""
        count = None if numbers is None else self._each * numbers
        rows, columns = extents or (None, None)
        shape = [rows, columns, count] if self._last else [count, rows, columns]
        values = take(outputs, self._names[head], [1, *shape])[0]
        if not self._last:
            values = values.transpose(1, 2, 0)
        high, wide, channels = values.shape
        if not channels or channels % self._each:
            raise DecodeError(
                "the output does not hold so many anchors",
                where=f"outputs.{self._names[head]}",
                value=channels,
                expected=f"a multiple of {self._each} channels",
            )
        return values.reshape(-1, channels // self._each), (high, wide)

    def _anchors(self, rows: npt.NDArray[np.intp], extents: tuple[int, int]) -> Doubles:
        """Return the anchors [N, 7] of some rows: centre, length, width, height and yaw."""
        options = self._options
        place, which = np.divmod(rows, self._each)
        size, rotation = np.divmod(which, len(options.rotations))
        least_x, least_y, most_x, most_y = options.range_m
        row, column = np.divmod(place, extents[1])
        sizes = np.asarray(options.anchors, np.float64)[size]
        return np.stack(
            [
                self._along(column, extents[1], least_x, most_x),
                self._along(row, extents[0], least_y, most_y),
                sizes[:, 3] + sizes[:, 2] / 2.0,
                *sizes[:, :3].T,
                np.asarray(options.rotations, np.float64)[rotation],
            ],
            axis=1,
        )

    def _along(self, index: npt.NDArray[np.intp], count: int, least: float, most: float) -> Doubles:
        if self._options.align_center:
            return np.asarray(least + (index + 0.5) * (most - least) / count, np.float64)
        return np.asarray(least + index * (most - least) / max(1, count - 1), np.float64)

    def _become(self, anchors: Doubles, change: Doubles) -> Doubles:
        """Return the boxes [N, 7] that anchors become (Yan et al. 2018, SECOND, section 3.1.3)."""
        if self._options.size_order == "wlh":
            change = change[:, [0, 1, 2, 4, 3, 5, 6]]
        across = np.hypot(anchors[:, 3], anchors[:, 4])[:, np.newaxis]
        boxes = anchors.copy()
        boxes[:, :2] += change[:, :2] * across
        boxes[:, 2] += change[:, 2] * anchors[:, 5]
        boxes[:, 3:6] *= np.exp(np.clip(change[:, 3:6], -20.0, 20.0))
        boxes[:, 6] += change[:, 6]
        return boxes

    def _channels(self, item: TensorInfo) -> int | None:
        found = item.shape[3 if self._last else 1]
        return found if isinstance(found, int) else None

    def _require(self, item: TensorInfo, head: str, numbers: int | None) -> None:
        """Pass if a head has numbers for every anchor.

        Raises:
            DecodeError: it has more or fewer.
        """
        found = self._channels(item)
        wanted = self._each * (numbers or 1)
        anchors, rotations = len(self._options.anchors), len(self._options.rotations)
        if found is not None and (found != wanted if numbers else not found or found % wanted):
            raise DecodeError(
                f"output {item.name!r} of shape {list(item.shape)} has {found} channels",
                where=f"output.options.heads.{head}",
                value=item.name,
                expected=f"{'' if numbers else 'a multiple of '}{wanted}: {anchors} anchors in "
                f"{rotations} rotations",
                hint="Name each head in output.options.heads, and declare all anchors of a cell",
            )


def _channels_last(item: TensorInfo, channels: int) -> bool:
    """Return whether the channels of a head are its last extent."""
    return item.shape[3] == channels and item.shape[1] != channels
