"""Boxes that are turned in the image, of networks for aerial views and goods on a belt."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names, name_of
from aegis_ros.decoders.options import AcrossClasses, Iou, Labels, MaxBoxes, TensorName, Threshold
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class, likeliest
from aegis_ros.errors import DecodeError

__all__ = ["OrientedDecoder", "OrientedOptions", "overlap"]

_MAX_CANDIDATES = 3000
_FARTHEST = 1e6  # pixels
_EPSILON = 1e-7

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class OrientedOptions(Options):
    """Options of the ``oriented`` decoder."""

    format: Literal["yolo", "end2end"] = Field(
        "yolo",
        description="layout of the output: `yolo` [1, 4 + C + 1, N] with the angle last, `end2end` "
        "[1, N, 7] of box, score, class and angle, without suppression",
    )
    threshold: Threshold = 0.25
    iou: Iou = 0.45
    across_classes: AcrossClasses = False
    max_boxes: MaxBoxes = 300
    labels: Labels = ""
    tensor: TensorName = ""


class OrientedDecoder:
    """Reads centres, sizes, class scores and angles, and suppresses what overlaps."""

    OPTIONS = OrientedOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(OrientedOptions, context.options)
        info = pick(context, options.tensor, 0, (2, 3))
        self._name = info.name
        extent = info.shape[-2] if options.format == "yolo" else info.shape[-1]
        self._width = extent if isinstance(extent, int) else None
        count: int | None = None
        if self._width is not None:
            dense = options.format == "yolo"
            count = self._width - 5 if dense else None
            rows = dense and info.shape[-1] == 7
            if (self._width < 6 or rows) if dense else self._width != 7:
                raise DecodeError(
                    f"output {info.name!r} of shape {list(info.shape)} has {self._width} numbers a "
                    "box",
                    where="output.options.format",
                    value=options.format,
                    expected="[1, 4 + classes + 1, boxes]" if dense else "[1, boxes, 7]",
                    hint="Use format: end2end for [1, boxes, 7], and yolo for the other",
                )
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        options = self._options
        boxes, scores, classes = self._read(outputs)
        usable = (np.abs(boxes) <= _FARTHEST).all(axis=1) & (boxes[:, 2:4] > 0).all(axis=1)
        rows = np.nonzero((scores >= options.threshold) & usable)[0]
        rows = likeliest(rows, scores, _MAX_CANDIDATES)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        if options.format == "yolo":
            rows = self._suppressed(boxes.astype(np.float64), classes, rows)
        rows = rows[: options.max_boxes]
        turned = _in_source(boxes[rows].astype(np.float64), frame)
        hulls = _hulls(turned)
        inside = np.clip(hulls, 0.0, [frame.width, frame.height] * 2)
        seen = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
        rows, turned, inside = rows[seen], turned[seen], inside[seen]
        return Detections(
            boxes=inside.astype(np.float32),
            scores=np.clip(scores[rows], 0.0, 1.0).astype(np.float32),
            labels=tuple(name_of(self._names, index) for index in classes[rows].tolist()),
            turned=turned.astype(np.float32),
        )

    def _read(self, outputs: Outputs) -> tuple[Floats, Floats, Integers]:
        """Return centre, size and angle [N, 5], scores [N] and classes [N] of all candidates."""
        if self._options.format == "end2end":
            rows = take(outputs, self._name, [1, None, 7])[0]
            classes = np.clip(rows[:, 5], -1, 1_000_000).astype(np.int64)
            return rows[:, [0, 1, 2, 3, 6]], rows[:, 4], classes
        columns = take(outputs, self._name, [1, self._width, None])[0]
        scores, classes = best_class(columns[4:-1].T)
        return columns[[0, 1, 2, 3, -1]].T, scores, classes

    def _suppressed(
        self, boxes: Doubles, classes: Integers, rows: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.intp]:
        """Return the rows, best first, that overlap with no better one of their class."""
        options = self._options
        kept: list[int] = []
        while rows.size and len(kept) < options.max_boxes:
            best, rows = rows[0], rows[1:]
            kept.append(int(best))
            hidden = overlap(boxes[best], boxes[rows]) > options.iou
            if not options.across_classes:
                hidden &= classes[rows] == classes[best]
            rows = rows[~hidden]
        return np.asarray(kept, np.intp)


def overlap(one: Doubles, others: Doubles) -> Doubles:
    """Return how much turned boxes overlap, 0..1, as normal distributions do.

    A box stands for the distribution with its mean and covariance; 1 less the Hellinger distance of
    two of them behaves as an intersection over union does, and is what YOLO's heads for turned
    boxes are trained and suppressed with (ProbIoU, Murrugarra-Llerena et al. 2021).

    Args:
        one: float64 [5], centre x, y, width, height, and angle in radians.
        others: float64 [N, 5].
    """
    a, b, c = _covariance(one[np.newaxis])
    others_a, others_b, others_c = _covariance(others)
    a, b, c = a + others_a, b + others_b, c + others_c
    dx, dy = (others[:, :2] - one[:2]).T
    determinant = np.maximum(a * b - c * c, _EPSILON)
    far = (b * dx * dx + a * dy * dy - 2.0 * c * dx * dy) / determinant / 4.0
    areas = one[2] * one[3] * others[:, 2] * others[:, 3] / 144.0  # of roots of determinants
    unlike = 0.5 * np.log(determinant / (4.0 * np.maximum(areas, _EPSILON)))
    distance = np.clip(far + unlike, 0.0, 100.0)
    return np.asarray(1.0 - np.sqrt(1.0 - np.exp(-distance)))


def _covariance(boxes: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Return the variances along x and y and the covariance of boxes [N, 5]."""
    wide, high = boxes[:, 2] ** 2 / 12.0, boxes[:, 3] ** 2 / 12.0
    cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (
        wide * cosine**2 + high * sine**2,
        wide * sine**2 + high * cosine**2,
        (wide - high) * cosine * sine,
    )


def _axes(boxes: Doubles) -> tuple[Doubles, Doubles]:
    """Return the vectors [N, 2] from side to opposite side: along the width, along the height."""
    cosine, sine = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    along = np.stack([cosine, sine], axis=1) * boxes[:, 2:3]
    return along, np.stack([-sine, cosine], axis=1) * boxes[:, 3:4]


def _in_source(boxes: Doubles, frame: FrameInfo) -> Doubles:
    """Map boxes [N, 5] from the network's input to the source frame, angles in -pi/2..pi/2.

    A frame that was stretched turns rectangles into other parallelograms: the width's direction is
    mapped, and the sides keep the lengths that theirs have there.
    """
    top, left, height, width = frame.inner
    scale = np.asarray([frame.width / width, frame.height / height])
    centres = (boxes[:, :2] - np.asarray([left, top])) * scale
    along, across = (axis * scale for axis in _axes(boxes))
    angles = np.arctan2(along[:, 1], along[:, 0])
    return np.concatenate(
        [
            centres,
            np.hypot(*along.T)[:, np.newaxis],
            np.hypot(*across.T)[:, np.newaxis],
            (np.mod(angles + np.pi / 2, np.pi) - np.pi / 2)[:, np.newaxis],
        ],
        axis=1,
    )


def _hulls(boxes: Doubles) -> Doubles:
    """Return left, top, right and bottom [N, 4] of what encloses boxes [N, 5]."""
    along, across = _axes(boxes)
    reach = (np.abs(along) + np.abs(across)) / 2.0
    return np.concatenate([boxes[:, :2] - reach, boxes[:, :2] + reach], axis=1)
