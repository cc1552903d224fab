"""Boxes of DETR and its family: one box a query, nothing to suppress."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.corners import Corners, to_corners
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Labels, MaxBoxes, Normalized, Threshold
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class, sigmoid, softmax
from aegis_ros.decoders.selection import select
from aegis_ros.errors import DecodeError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["DetrDecoder", "DetrOptions"]

Floats = npt.NDArray[np.float32]


class DetrOptions(Options):
    """Options of the ``detr`` decoder."""

    threshold: Threshold = 0.5
    max_boxes: MaxBoxes = 300
    labels: Labels = ""
    scores: Annotated[
        Literal["auto", "probabilities", "sigmoid", "softmax"],
        Shown("`probabilities` for one output, `sigmoid` for two"),
    ] = Field(
        "auto",
        description="what the class scores are: probabilities, or logits of independent sigmoids "
        "or of one softmax, whose last class is no object",
    )
    corners: Corners = Field("cxcywh", description="what the four numbers of a box are")
    normalized: Normalized = True
    boxes_tensor: Annotated[str, Shown("that with four columns")] = Field(
        "", description="output with the boxes"
    )
    scores_tensor: Annotated[str, Shown("the other")] = Field(
        "", description="output with the class scores"
    )


class DetrDecoder:
    """Reads [1, N, 4 + C], or boxes [1, N, 4] and class scores [1, N, C], in either order."""

    OPTIONS = DetrOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(DetrOptions, context.options)
        self._boxes, self._scores = _outputs(context, options)
        wide = self._scores if self._scores is not None else self._boxes
        width = wide.shape[-1]
        extra = 0 if self._scores is not None else 4
        self._kind = options.scores
        if self._kind == "auto":
            self._kind = "probabilities" if self._scores is None else "sigmoid"
        dropped = 1 if self._kind == "softmax" else 0
        self._count = width - extra if isinstance(width, int) else None
        if self._count is not None and self._count <= dropped:
            raise DecodeError(
                f"output {wide.name!r} of shape {list(wide.shape)} has no class scores",
                where="output.decoder",
                expected="[1, boxes, 4 + classes], or [1, boxes, 4] and [1, boxes, classes]",
            )
        count = None if self._count is None else self._count - dropped
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        options = self._options
        boxes, scores = self._read(outputs)
        if self._kind == "sigmoid":
            scores = sigmoid(scores)
        elif self._kind == "softmax":
            scores = softmax(scores)[:, :-1]
        best, classes = best_class(scores)
        return select(
            to_corners(boxes, options.corners),
            best,
            classes,
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            normalized=options.normalized,
        ).detections(frame, self._names)

    def _read(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """Return boxes [N, 4] and class scores [N, C] as the network has them."""
        if self._scores is not None:
            boxes = take(outputs, self._boxes.name, [1, None, 4])[0]
            return boxes, take(outputs, self._scores.name, [1, len(boxes), self._count])[0]
        width = None if self._count is None else 4 + self._count
        rows = take(outputs, self._boxes.name, [1, None, width])[0]
        if rows.shape[1] <= 4:
            raise DecodeError(
                "the output has no class scores",
                where=f"outputs.{self._boxes.name}",
                value=list(rows.shape),
                expected="shape [1, boxes, 4 + classes]",
            )
        return rows[:, :4], rows[:, 4:]


def _outputs(context: DecoderContext, options: DetrOptions) -> tuple[TensorInfo, TensorInfo | None]:
    """Return the output with the boxes and, where they are apart, that with the scores."""
    ranked = [item for item in context.outputs if len(item.shape) in (2, 3)]
    fours = [item.name for item in ranked if item.shape[-1] == 4]
    named = options.boxes_tensor or (fours[0] if fours else "")
    first = pick(context, named, 0, (2, 3))
    if not fours and not options.scores_tensor:
        return first, None
    others = [item.name for item in ranked if item.name != first.name]
    return first, pick(context, options.scores_tensor or (others or [""])[0], 1, (2, 3))
