"""Boxes of FastestDet: one grid with objectness, place, size and class scores."""

from __future__ import annotations

import numpy as np

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.corners import to_corners
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import (
    AcrossClasses,
    Iou,
    Labels,
    MaxBoxes,
    TensorName,
    Threshold,
)
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class, sigmoid
from aegis_ros.decoders.selection import select
from aegis_ros.errors import DecodeError

__all__ = ["FastestDetDecoder", "FastestDetOptions"]

# The score is a weighted geometric mean, as FastestDet evaluates itself.
_OBJECT_WEIGHT, _CLASS_WEIGHT = 0.6, 0.4


class FastestDetOptions(Options):
    """Options of the ``fastestdet`` decoder."""

    threshold: Threshold = 0.65
    iou: Iou = 0.45
    across_classes: AcrossClasses = False
    max_boxes: MaxBoxes = 100
    labels: Labels = ""
    tensor: TensorName = ""


class FastestDetDecoder:
    """Reads [1, 5 + C, h, w]: objectness, x, y, width, height and class scores of each cell."""

    OPTIONS = FastestDetOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(FastestDetOptions, context.options)
        info = pick(context, options.tensor, 0, (4,))
        self._name = info.name
        channels = info.shape[1]
        self._channels = channels if isinstance(channels, int) else None
        if self._channels is not None and self._channels <= 5:
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} has no class scores",
                where="output.decoder",
                expected="[1, 5 + classes, rows, columns]",
            )
        count = None if self._channels is None else self._channels - 5
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        options = self._options
        grid = take(outputs, self._name, [1, self._channels, None, None])[0]
        rows, columns = grid.shape[1:]
        values = grid.reshape(len(grid), -1).T
        if values.shape[1] <= 5:
            raise DecodeError(
                "the output has no class scores",
                where=f"outputs.{self._name}",
                value=list(grid.shape),
                expected="shape [1, 5 + classes, rows, columns]",
            )
        best, classes = best_class(values[:, 5:])
        objectness = np.clip(values[:, 0], 0.0, 1.0)
        scores = objectness**_OBJECT_WEIGHT * np.clip(best, 0.0, 1.0) ** _CLASS_WEIGHT
        likely = np.nonzero(scores >= options.threshold)[0]
        y, x = np.divmod(likely, max(1, columns))
        place = np.stack([x, y], axis=1) + np.tanh(values[likely, 1:3])
        centres = place / np.asarray([max(1, columns), max(1, rows)])
        boxes = np.concatenate([centres, sigmoid(values[likely, 3:5])], axis=1)
        return select(
            to_corners(boxes.astype(np.float32), "cxcywh"),
            scores[likely].astype(np.float32),
            classes[likely],
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            iou=options.iou,
            across_classes=options.across_classes,
            normalized=True,
        ).detections(frame, self._names)
