"""People, animals and things with their keypoints: one box and K points each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.coco_person import KEYPOINTS
from aegis_ros.decoders.corners import to_corners
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names, name_of
from aegis_ros.decoders.options import AcrossClasses, Iou, Labels, TensorName, Threshold
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class
from aegis_ros.decoders.selection import select
from aegis_ros.errors import ConfigError, DecodeError

__all__ = [
    "KeypointNames",
    "KeypointsDecoder",
    "KeypointsOptions",
    "keypoint_names",
    "keypoint_shape",
]

Floats = npt.NDArray[np.float32]
KeypointNames = Annotated[
    list[str],
    Field(description="names of the keypoints, in the network's order"),
    Shown("those of COCO's 17, where there are 17"),
]


class KeypointsOptions(Options):
    """Options of the ``keypoints`` decoder."""

    format: Literal["yolo", "end2end", "movenet"] = Field(
        "yolo",
        description="layout of the output: `yolo` [1, 4 + C + K * dims, N], `end2end` "
        "[1, N, 6 + K * dims] without suppression, `movenet` [1, N, 3 * K + 5]",
    )
    threshold: Threshold = 0.25
    iou: Iou = 0.45
    across_classes: AcrossClasses = False
    max_boxes: int = Field(100, ge=1, le=1000, description="largest number of boxes")
    keypoints: Annotated[int, Shown("that in the file, or 17")] = Field(
        0, ge=0, le=1000, description="number of keypoints (K)"
    )
    dims: Annotated[int, Shown("that in the file, or 3")] = Field(
        0, ge=0, le=3, description="numbers a keypoint: 2 for x and y, 3 with its score"
    )
    names: KeypointNames = Field(default_factory=list)
    labels: Labels = ""
    tensor: TensorName = ""


class KeypointsDecoder:
    """Reads boxes, class scores and keypoints of one tensor."""

    OPTIONS = KeypointsOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(KeypointsOptions, context.options)
        self._keypoints, self._dims = _shape(options, context)
        if self._dims == 1:
            raise ConfigError(
                "a keypoint has no 1 number",
                where="output.options.dims",
                value=options.dims,
                expected="2 or 3",
            )
        info = pick(context, options.tensor, 0, (2, 3))
        self._name = info.name
        points = self._keypoints * self._dims
        extent = info.shape[-2] if options.format == "yolo" else info.shape[-1]
        self._width = extent if isinstance(extent, int) else None
        classes: int | None = None
        if options.format == "yolo" and self._width is not None:
            classes = self._width - 4 - points
        exact = {"end2end": 6 + points, "movenet": 5 + points}.get(options.format)
        if (classes is not None and classes < 1) or (
            exact is not None and self._width not in (None, exact)
        ):
            rows = {"yolo": f"[1, 4 + classes + {points}, boxes]"}
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} does not hold "
                f"{self._keypoints} keypoints of {self._dims} numbers",
                where="output.options.keypoints",
                value=self._keypoints,
                expected=rows.get(options.format, f"[1, boxes, {exact}]"),
                hint="Set output.options.format, keypoints and dims to those of the network",
            )
        self._classes = classes
        self._labels = class_names(options.labels, context.metadata, classes)
        self._names = keypoint_names(options.names, self._keypoints)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return boxes and keypoints in pixels of the source frame."""
        options = self._options
        boxes, scores, classes, points = self._read(outputs)
        found = select(
            boxes,
            scores,
            classes,
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            iou=options.iou if options.format == "yolo" else None,
            across_classes=options.across_classes,
            normalized=options.format == "movenet",
        )
        chosen = points[found.rows].reshape(len(found.rows), self._keypoints, self._dims)
        places, certain = chosen[..., :2], None
        if options.format == "movenet":
            size = np.asarray([frame.input_width, frame.input_height], np.float32)
            with np.errstate(over="ignore"):
                places = places[..., ::-1] * size
        if self._dims == 3:
            certain = np.clip(chosen[..., 2], 0.0, 1.0)
        detections = found.detections(frame, self._labels)
        labels = detections.labels
        if options.format == "movenet":
            labels = tuple(name_of(self._labels or ("person",), 0) for _ in labels)
        return Detections(
            boxes=detections.boxes,
            scores=detections.scores,
            labels=labels,
            landmarks=frame.to_source(places),
            landmark_scores=certain,
            landmark_names=self._names,
        )

    def _read(self, outputs: Outputs) -> tuple[Floats, Floats, npt.NDArray[np.int64], Floats]:
        """Return xyxy boxes [N, 4], scores [N], class numbers [N] and keypoints [N, K * dims]."""
        points = self._keypoints * self._dims
        if self._options.format == "yolo":
            rows = take(outputs, self._name, [1, self._width, None])[0].T
            if rows.shape[1] < 5 + points:
                raise DecodeError(
                    "the output is too narrow",
                    where=f"outputs.{self._name}",
                    value=list(rows.T.shape),
                    expected=f"shape [1, 4 + classes + {points}, boxes]",
                )
            best, classes = best_class(rows[:, 4 : rows.shape[1] - points])
            boxes = to_corners(rows[:, :4], "cxcywh")
            return boxes, best, classes, rows[:, rows.shape[1] - points :]
        if self._options.format == "end2end":
            rows = take(outputs, self._name, [1, None, 6 + points])[0]
            numbers = np.clip(rows[:, 5], -1, 1_000_000).astype(np.int64)
            return rows[:, :4], rows[:, 4], numbers, rows[:, 6:]
        rows = take(outputs, self._name, [1, None, 5 + points])[0]
        boxes = to_corners(rows[:, points : points + 4], "yxyx")
        return boxes, rows[:, -1], np.zeros(len(rows), np.int64), rows[:, :points]


def keypoint_names(option: list[str], count: int) -> tuple[str, ...]:
    """Return the names of the keypoints, none where nobody knows them.

    Raises:
        ConfigError: the list has another length than there are keypoints.
    """
    if option and len(option) != count:
        raise ConfigError(
            f"{len(option)} names for {count} keypoints",
            where="output.options.names",
            expected=f"{count} names",
        )
    return tuple(option) or (KEYPOINTS if count == len(KEYPOINTS) else ())


def keypoint_shape(metadata: Mapping[str, str]) -> tuple[int, int]:
    """Return how many keypoints a file says there are (17 if nothing), and of how many numbers."""
    try:
        count, dims = json.loads(metadata.get("kpt_shape", "")[:64])
        return max(1, min(1000, int(count))), max(0, min(1000, int(dims)))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return 17, 3  # what a file says of itself is not to be trusted


def _shape(options: KeypointsOptions, context: DecoderContext) -> tuple[int, int]:
    """Return how many keypoints there are, and of how many numbers each."""
    if options.format == "movenet":
        return options.keypoints or 17, 3
    count, dims = keypoint_shape(context.metadata)
    return options.keypoints or count, options.dims or dims
