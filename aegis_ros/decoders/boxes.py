"""Boxes of the common detector families."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.corners import Corners, to_corners
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.grid import cells
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import (
    AcrossClasses,
    Iou,
    Labels,
    MaxBoxes,
    Normalized,
    Threshold,
)
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class, sigmoid, softmax
from aegis_ros.decoders.selection import select
from aegis_ros.errors import ConfigError, DecodeError

__all__ = ["BoxesDecoder", "BoxesOptions"]

# Where the four numbers of a box, its score and its class stand in a row of a suppressed output.
_COLUMNS = {
    "box_score_class": [0, 1, 2, 3, 4, 5],
    "class_score_box": [2, 3, 4, 5, 1, 0],
    "batch_box_class_score": [1, 2, 3, 4, 6, 5],
}

Floats = npt.NDArray[np.float32]


class BoxesOptions(Options):
    """Options of the ``boxes`` decoder."""

    format: Literal["yolov8", "yolov5", "grid", "ssd", "nms"] = Field(
        "yolov8", description="layout of the output: see [Formats](#formats)"
    )
    threshold: Threshold = 0.25
    iou: Iou = 0.45
    across_classes: AcrossClasses = False
    max_boxes: MaxBoxes = 300
    labels: Labels = ""
    normalized: Normalized = False
    corners: Corners = Field(
        "xyxy",
        description="what the four numbers of a box are, for `ssd` and `nms`",
    )
    columns: Literal["box_score_class", "class_score_box", "batch_box_class_score"] = Field(
        "box_score_class", description="order of the numbers in a row, for `nms`"
    )
    background: int = Field(
        -1, ge=-1, description="class that is no object, for `ssd`; -1 for none"
    )
    softmax: bool = Field(False, description="class scores are logits of one softmax")
    sigmoid: bool = Field(False, description="scores are logits of independent sigmoids")
    strides: tuple[int, ...] = Field(
        (8, 16, 32), min_length=1, max_length=8, description="cell sizes in pixels, for `grid`"
    )
    boxes_tensor: Annotated[str, Shown("the first; for `ssd` that with four columns")] = Field(
        "", description="output with the boxes"
    )
    scores_tensor: Annotated[str, Shown("the other")] = Field(
        "", description="output with the scores, for `ssd`"
    )


class BoxesDecoder:
    """Reads boxes and class scores, and suppresses what overlaps."""

    OPTIONS = BoxesOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(BoxesOptions, context.options)
        if min(options.strides) < 1:
            raise ConfigError(
                "a stride must be positive",
                where="output.options.strides",
                value=list(options.strides),
            )
        first, second = _order(context) if options.format == "ssd" else (0, 1)
        info = pick(context, options.boxes_tensor, first, (2, 3))
        self._name = info.name
        self._scores_name = ""
        extents = info.shape if len(info.shape) == 3 else (1, *info.shape)
        width, fixed = extents[2], {"yolov5": 5, "grid": 5, "ssd": 4, "yolov8": 4}
        fixed["nms"] = max(_COLUMNS[options.columns]) + 1
        if options.format == "yolov8":
            width = extents[1]
            if _exceeds(width, extents[2]):
                raise DecodeError(
                    f"output {info.name!r} of shape {list(info.shape)} has its boxes in rows",
                    where="output.options.format",
                    value=options.format,
                    expected="[1, 4 + classes, boxes]",
                    hint="Use format: yolov5 or grid for [1, boxes, 5 + classes]",
                )
        if options.format in ("yolov5", "grid") and _exceeds(width, extents[1]):
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} has its boxes in columns",
                where="output.options.format",
                value=options.format,
                expected="[1, boxes, 5 + classes]",
                hint="Use format: yolov8 for [1, 4 + classes, boxes]",
            )
        least = fixed[options.format]
        exact = options.format in ("nms", "ssd")
        if isinstance(width, int) and (width != least if exact else width <= least):
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} has {width} numbers a box",
                where="output.options.format",
                value=options.format,
                expected=f"{'exactly' if exact else 'more than'} {least}",
            )
        self._width = width if isinstance(width, int) else None
        count: int | None = None
        if options.format == "ssd":
            scores = pick(context, options.scores_tensor, second, (2, 3))
            self._scores_name = scores.name
            count = scores.shape[-1] if isinstance(scores.shape[-1], int) else None
        elif options.format != "nms" and self._width is not None:
            count = self._width - least
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        options = self._options
        with np.errstate(over="ignore", invalid="ignore"):
            boxes, scores, classes = self._candidates(outputs, frame)
        found = select(
            boxes,
            scores,
            classes,
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            iou=None if options.format == "nms" else options.iou,
            across_classes=options.across_classes,
            normalized=options.normalized,
        )
        return found.detections(frame, self._names)

    def _candidates(
        self, outputs: Outputs, frame: FrameInfo
    ) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Return xyxy boxes [N, 4], scores [N] and class numbers [N]."""
        options = self._options
        if options.format == "nms":
            order = _COLUMNS[options.columns]
            rows = take(outputs, self._name, [1, None, max(order) + 1])[0][:, order]
            numbers = np.clip(rows[:, 5], -1, 1_000_000).astype(np.int64)
            return to_corners(rows[:, :4], options.corners), rows[:, 4], numbers
        if options.format == "ssd":
            boxes = take(outputs, self._name, [1, None, 4])[0]
            scores = self._activated(take(outputs, self._scores_name, [1, len(boxes), None])[0])
            return to_corners(boxes, options.corners), *best_class(scores, options.background)
        if options.format == "yolov8":
            columns = take(outputs, self._name, [1, self._width, None])[0]
            if len(columns) <= 4:
                raise self._too_narrow(columns.shape)
            return to_corners(columns[:4].T, "cxcywh"), *best_class(self._activated(columns[4:].T))
        rows = take(outputs, self._name, [1, None, self._width])[0]
        if rows.shape[1] <= 5:
            raise self._too_narrow(rows.shape)
        boxes = rows[:, :4]
        if options.format == "grid":
            boxes = self._from_grid(boxes, frame)
        objectness = sigmoid(rows[:, 4]) if options.sigmoid else rows[:, 4]
        scores, classes = best_class(self._activated(rows[:, 5:]))
        return to_corners(boxes, "cxcywh"), np.asarray(scores * objectness, np.float32), classes

    def _activated(self, scores: Floats) -> Floats:
        if self._options.softmax:
            return softmax(scores)
        return sigmoid(scores) if self._options.sigmoid else scores

    def _from_grid(self, boxes: Floats, frame: FrameInfo) -> Floats:
        origin, stride_of = cells(frame, self._options.strides)
        if len(origin) != len(boxes):
            raise DecodeError(
                "the number of boxes does not fit the strides",
                where=f"outputs.{self._name}",
                value=len(boxes),
                expected=f"{len(origin)} for strides {list(self._options.strides)} and input "
                f"{frame.input_height} x {frame.input_width}",
                hint="Set output.options.strides to those of the network",
            )
        centres = (boxes[:, :2] + origin) * stride_of
        extents = np.exp(np.clip(boxes[:, 2:], -20.0, 12.0)) * stride_of
        return np.concatenate([centres, extents], axis=1).astype(np.float32)

    def _too_narrow(self, shape: tuple[int, ...]) -> DecodeError:
        return DecodeError(
            "the output has no class scores",
            where=f"outputs.{self._name}",
            value=list(shape),
            expected="shape [1, 4 + classes, boxes] or [1, boxes, 5 + classes]",
        )


def _order(context: DecoderContext) -> tuple[int, int]:
    """Return the positions of boxes and scores, whichever of the two the network gives first."""
    last = [item.shape[-1] if item.shape else None for item in context.outputs[:2]]
    return (1, 0) if len(last) == 2 and last[0] != 4 and last[1] == 4 else (0, 1)


def _exceeds(one: int | str, other: int | str) -> bool:
    """Return whether an extent is larger than another, as far as both are known."""
    return isinstance(one, int) and isinstance(other, int) and one > other
