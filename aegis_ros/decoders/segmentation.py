"""A class for every pixel."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Labels, TensorName
from aegis_ros.decoders.results import SegmentationMask
from aegis_ros.errors import DecodeError

__all__ = ["SegmentationDecoder", "SegmentationOptions"]


class SegmentationOptions(Options):
    """Options of the ``segmentation`` decoder."""

    layout: Literal["nchw", "nhwc", "index"] = Field(
        "nchw",
        description="where the classes lie: `nchw` [1, C, h, w], `nhwc` [1, h, w, C], or `index` "
        "for class numbers, [1, h, w] or [1, 1, h, w]",
    )
    threshold: float = Field(
        0.5, description="value above which a pixel is of class 1, where there is one channel"
    )
    labels: Labels = ""
    tensor: TensorName = ""


class SegmentationDecoder:
    """Takes the best class of every pixel and brings the mask to the frame's size."""

    OPTIONS = SegmentationOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(SegmentationOptions, context.options)
        ranks = (3, 4) if self._options.layout == "index" else (4,)
        info = pick(context, self._options.tensor, 0, ranks)
        self._name, self._rank = info.name, len(info.shape)
        axis = {"nchw": 1, "nhwc": 3}.get(self._options.layout)
        extent = info.shape[axis] if axis is not None else None
        count = extent if isinstance(extent, int) else None
        if count is not None and count > 256:
            raise DecodeError(
                f"output {info.name!r} has {count} classes",
                where="output.decoder",
                expected="at most 256",
                hint="Set output.options.layout to nhwc if the classes come last",
            )
        self._names = class_names(
            self._options.labels, context.metadata, 2 if count == 1 else count
        )

    def decode(self, outputs: Outputs, frame: FrameInfo) -> SegmentationMask:
        """Return the mask of the source frame."""
        if self._options.layout == "index":
            shape: list[int | None] = [1, None, None] if self._rank == 3 else [1, 1, None, None]
            numbers = take(outputs, self._name, shape)
            mask = np.clip(numbers.reshape(numbers.shape[-2:]), 0, 255).astype(np.uint8)
        else:
            scores = take(outputs, self._name, [1, None, None, None])[0]
            axis = 0 if self._options.layout == "nchw" else 2
            if scores.shape[axis] == 1:
                mask = (scores.squeeze(axis) > self._options.threshold).astype(np.uint8)
            else:
                if not 0 < scores.shape[axis] <= 256:
                    raise DecodeError(
                        "the output has an impossible number of classes",
                        where=f"outputs.{self._name}",
                        value=list(scores.shape),
                        expected="1 to 256",
                    )
                mask = scores.argmax(axis=axis).astype(np.uint8)
        if mask.size == 0:
            raise DecodeError(
                "the output is empty", where=f"outputs.{self._name}", value=list(mask.shape)
            )
        return SegmentationMask(self._to_frame(mask, frame), self._names)

    @staticmethod
    def _to_frame(
        mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], frame: FrameInfo
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        top, left, height, width = frame.inner
        rows, columns = mask.shape[0] / frame.input_height, mask.shape[1] / frame.input_width
        first_row, first_column = int(top * rows), int(left * columns)
        last_row = max(first_row + 1, round((top + height) * rows))
        last_column = max(first_column + 1, round((left + width) * columns))
        inner = np.ascontiguousarray(mask[first_row:last_row, first_column:last_column])
        resized = cv2.resize(inner, (frame.width, frame.height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(resized, np.uint8)
