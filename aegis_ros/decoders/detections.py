"""Boxes, scores and classes as outputs of their own: networks that end with their suppression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.corners import Corners, to_corners
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Labels, MaxBoxes, Normalized, Threshold
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.selection import Selected, select
from aegis_ros.errors import DecodeError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["DetectionsDecoder", "DetectionsOptions"]

_MOST_CLASSES = 1_000_000


class DetectionsOptions(Options):
    """Options of the ``detections`` decoder."""

    threshold: Threshold = 0.3
    max_boxes: MaxBoxes = 300
    labels: Labels = ""
    first_class: int = Field(
        0, ge=0, le=1000, description="number that the network gives the first name of `labels`"
    )
    corners: Corners = Field("xyxy", description="what the four numbers of a box are")
    normalized: Normalized = False
    boxes_tensor: Annotated[str, Shown("that with four or five columns")] = Field(
        "", description="output with the boxes; a fifth column is the score"
    )
    scores_tensor: Annotated[str, Shown("that of real numbers, or called `scores`")] = Field(
        "", description="output with the scores"
    )
    classes_tensor: Annotated[
        str, Shown("that of whole numbers, or called `classes` or `labels`")
    ] = Field("", description="output with the class numbers")
    count_tensor: Annotated[str, Shown("that of one number, if there is one")] = Field(
        "", description="output that says how many rows count"
    )


class DetectionsDecoder:
    """Reads boxes [1, N, 4], scores [1, N], classes [1, N] and, where given, their number."""

    OPTIONS = DetectionsOptions

    def __init__(self, context: DecoderContext) -> None:
        """Find the outputs and check the options against them."""
        self._options = options = parse(DetectionsOptions, context.options)
        boxes = _first(context, options.boxes_tensor, _holds_boxes, context.outputs)
        if boxes is None or boxes.shape[-1] not in (4, 5):
            raise _not_these(context, "boxes of 4 columns, or of 5 with their score")
        self._boxes, self._width = boxes.name, int(boxes.shape[-1])
        rest = [item for item in context.outputs if len(item.shape) < 3]
        rest = [item for item in rest if item.name != boxes.name]
        self._count = _count(context, options, rest)
        rest = [item for item in rest if item.name != self._count]
        classes = _first(context, options.classes_tensor, _says("class", "label", "cls"), rest)
        if classes is None:
            classes = _first(context, "", lambda item: "int" in item.dtype, rest)
        rest = [item for item in rest if item is not classes]
        scores = _first(context, options.scores_tensor, _says("score", "conf", "prob"), rest)
        if scores is None and self._width == 4:
            scores = _first(context, "", lambda item: "float" in item.dtype, rest)
        if scores is None and self._width == 4:
            raise _not_these(context, "an output with the scores")
        self._scores = "" if scores is None else scores.name
        self._classes = "" if classes is None else classes.name
        self.names = class_names(options.labels, context.metadata)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        return self.chosen(outputs, frame).detections(frame, self.names)

    def chosen(self, outputs: Outputs, frame: FrameInfo) -> Selected:
        """Return the boxes in pixels of the network's input, and which rows they were.

        Raises:
            DecodeError: as :meth:`decode`.
        """
        options = self._options
        rows = take(outputs, self._boxes, [1, None, self._width])[0]
        count = len(rows)
        scores = rows[:, 4] if self._width == 5 else np.zeros(0, np.float32)
        if self._scores:
            scores = take(outputs, self._scores, [1, count])[0]
        classes = np.zeros(count, np.float32)
        if self._classes:
            classes = take(outputs, self._classes, [1, count])[0]
        if self._count:
            said = take(outputs, self._count, [1, 1])[0, 0]
            count = int(np.clip(said, 0, count))
        numbers = np.clip(classes[:count], -1, _MOST_CLASSES).astype(np.int64)
        return select(
            to_corners(rows[:count, :4], options.corners),
            scores[:count],
            numbers - options.first_class,
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            normalized=options.normalized,
        )


def _holds_boxes(item: TensorInfo) -> bool:
    return len(item.shape) in (2, 3) and item.shape[-1] in (4, 5)


def _says(*words: str) -> Callable[[TensorInfo], bool]:
    return lambda item: any(word in item.name.lower() for word in words)


def _first(
    context: DecoderContext,
    name: str,
    fits: Callable[[TensorInfo], bool],
    among: Sequence[TensorInfo],
) -> TensorInfo | None:
    """Return the output of a name or, where none is given, the first that fits."""
    if name:
        return pick(context, name, 0, (0, 1, 2, 3))
    return next((item for item in among if fits(item)), None)


def _count(context: DecoderContext, options: DetectionsOptions, rest: list[TensorInfo]) -> str:
    """Return the name of the output with the number of rows, if there is one."""
    if options.count_tensor:
        return pick(context, options.count_tensor, 0, (0, 1, 2)).name
    one = [item for item in rest if all(extent == 1 for extent in item.shape)]
    named = [item for item in one if "num" in item.name.lower() or "count" in item.name.lower()]
    return named[0].name if named and len(rest) > 1 else ""


def _not_these(context: DecoderContext, expected: str) -> DecodeError:
    return DecodeError(
        "the outputs are not boxes, scores and classes",
        where="output.decoder",
        value={item.name: list(item.shape) for item in context.outputs},
        expected=expected,
        hint="Name them: output.options.boxes_tensor, scores_tensor and classes_tensor",
    )
