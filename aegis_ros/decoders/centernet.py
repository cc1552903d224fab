"""Boxes of CenterNet: peaks of a heat map for each class, with size and offset of each cell."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.corners import to_corners
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Iou, Labels, MaxBoxes, Threshold
from aegis_ros.decoders.peaks import peaks
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import sigmoid
from aegis_ros.decoders.selection import select
from aegis_ros.errors import DecodeError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["CenterNetDecoder", "CenterNetOptions"]

Floats = npt.NDArray[np.float32]


class CenterNetOptions(Options):
    """Options of the ``centernet`` decoder."""

    threshold: Threshold = 0.3
    iou: Iou = 0.7
    max_boxes: MaxBoxes = 100
    labels: Labels = ""
    sigmoid: bool = Field(True, description="the heat map holds logits")
    size: Literal["cells", "pixels"] = Field(
        "cells", description="unit of the sizes: cells of the heat map, or the input's pixels"
    )
    heat_tensor: Annotated[str, Shown("the first")] = Field(
        "", description="output with the heat map [1, C, h, w]"
    )
    size_tensor: Annotated[str, Shown("called `wh` or `size`, or the second")] = Field(
        "", description="output with width and height [1, 2, h, w]"
    )
    offset_tensor: Annotated[str, Shown("called `reg` or `off`, or the third, if there is one")] = (
        Field("", description="output with the offset of the centre [1, 2, h, w]")
    )


class CenterNetDecoder:
    """Reads heat map, sizes and offsets of equal extents."""

    OPTIONS = CenterNetOptions

    def __init__(self, context: DecoderContext) -> None:
        """Find the outputs and check the options against them."""
        self._options = options = parse(CenterNetOptions, context.options)
        heat = pick(context, options.heat_tensor or _called(context, "hm", "heat"), 0, (4,))
        self._heat, classes = heat.name, heat.shape[1]
        rest = DecoderContext(outputs=[item for item in context.outputs if item.name != heat.name])
        size = pick(rest, options.size_tensor or _called(rest, "wh", "size"), 0, (4,))
        others = DecoderContext(outputs=[item for item in rest.outputs if item is not size])
        offset: TensorInfo | None = None
        if others.outputs or options.offset_tensor:
            offset = pick(others, options.offset_tensor or _called(others, "reg", "off"), 0, (4,))
        for item in filter(None, (size, offset)):
            if isinstance(item.shape[1], int) and item.shape[1] != 2:
                raise DecodeError(
                    f"output {item.name!r} has {item.shape[1]} channels",
                    where="output.decoder",
                    value=list(item.shape),
                    expected="2 channels for sizes and offsets",
                    hint="Name the outputs: heat_tensor, size_tensor and offset_tensor",
                )
        self._size, self._offset = size.name, "" if offset is None else offset.name
        count = classes if isinstance(classes, int) else None
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        options = self._options
        heat = take(outputs, self._heat, [1, None, None, None])[0]
        extents = heat.shape[1:]
        size = take(outputs, self._size, [1, 2, *extents])[0]
        offset = take(outputs, self._offset, [1, 2, *extents])[0] if self._offset else None
        scores = sigmoid(heat) if options.sigmoid else heat
        classes, rows, columns, best = peaks(scores, options.threshold)
        stride = np.asarray(
            [frame.input_width / max(1, extents[1]), frame.input_height / max(1, extents[0])],
            np.float32,
        )
        with np.errstate(over="ignore", invalid="ignore"):
            centre = np.stack([columns, rows], axis=1).astype(np.float32)
            centre += np.float32(0.5) if offset is None else offset[:, rows, columns].T
            extent = size[:, rows, columns].T
            extent = extent * stride if options.size == "cells" else extent
            boxes = np.concatenate([centre * stride, extent], axis=1).astype(np.float32)
        return select(
            to_corners(boxes, "cxcywh"),
            best,
            classes,
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            iou=options.iou,
        ).detections(frame, self._names)


def _called(context: DecoderContext, *words: str) -> str:
    """Return the output whose name has one of the words; empty where none has."""
    names = [item.name for item in context.outputs]
    return next((name for name in names if any(word in name.lower() for word in words)), "")
