"""Things with a box and the pixels that belong to them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.corners import to_corners
from aegis_ros.decoders.detections import DetectionsDecoder
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import AcrossClasses, Iou, Labels, Threshold
from aegis_ros.decoders.overlay import lay
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class
from aegis_ros.decoders.selection import Selected, select
from aegis_ros.errors import DecodeError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["InstancesDecoder", "InstancesOptions"]

_LARGEST = 1e30  # of a coefficient: sums of products stay finite in float64

Floats = npt.NDArray[np.float32]


class InstancesOptions(Options):
    """Options of the ``instances`` decoder."""

    format: Literal["yolov8", "yolov5", "end2end", "masks"] = Field(
        "yolov8",
        description="layout of the outputs: rows with M mask coefficients, `yolov8` "
        "[1, 4 + C + M, N], `yolov5` [1, N, 5 + C + M] or `end2end` [1, N, 6 + M], and prototypes "
        "[1, M, h, w]; or `masks`: boxes, scores, classes and masks as of Mask R-CNN",
    )
    threshold: Threshold = 0.25
    iou: Iou = 0.45
    across_classes: AcrossClasses = False
    max_boxes: int = Field(100, ge=1, le=255, description="largest number of boxes")
    labels: Labels = ""
    first_class: int = Field(
        0, ge=0, le=1000, description="number of the first name of `labels`, for `masks`"
    )
    masks_cover: Annotated[
        Literal["auto", "frame", "box"], Shown("`box` for masks up to 64 x 64, else `frame`")
    ] = Field("auto", description="what a mask lies over, for `masks`")
    mask_threshold: float = Field(
        0.5, ge=0.0, le=1.0, description="probability above which a pixel belongs to the thing"
    )
    rows_tensor: Annotated[str, Shown("that of rank 3")] = Field(
        "", description="output with the rows"
    )
    masks_tensor: Annotated[str, Shown("that of rank 4")] = Field(
        "", description="output with the prototypes, or with the masks"
    )


class InstancesDecoder:
    """Reads boxes with masks, and lays the best on top."""

    OPTIONS = InstancesOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(InstancesOptions, context.options)
        masks = _of_rank(context, options.masks_tensor, 4, "masks")
        self._masks = masks.name
        self._boxes: DetectionsDecoder | None = None
        if options.format == "masks":
            self._boxes = _boxes_apart(context, options, masks.name)
            return
        rows = _of_rank(context, options.rows_tensor, 3, "boxes")
        self._rows = rows.name
        width = rows.shape[1] if options.format == "yolov8" else rows.shape[2]
        protos = masks.shape[1]
        self._protos = protos if isinstance(protos, int) else None
        self._width = width if isinstance(width, int) else None
        before = {"yolov8": 4, "yolov5": 5, "end2end": 6}[options.format]
        classes = None
        if self._width is not None and self._protos is not None:
            classes = self._width - before - self._protos
            if classes < 1 if options.format != "end2end" else classes != 0:
                raise DecodeError(
                    f"output {rows.name!r} of shape {list(rows.shape)} has {width} numbers a box, "
                    f"and there are {protos} prototypes",
                    where="output.options.format",
                    value=options.format,
                    expected=f"{before + self._protos} numbers"
                    + (" and one a class" if options.format != "end2end" else ""),
                )
        count = None if options.format == "end2end" else classes
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return boxes in pixels of the source frame, and whose each of its pixels is."""
        if self._boxes is not None:
            return self._with_masks(self._boxes, outputs, frame)
        options = self._options
        protos = take(outputs, self._masks, [1, self._protos, None, None])[0]
        boxes, scores, classes, coefficients = self._read(outputs, len(protos))
        found = select(
            boxes,
            scores,
            classes,
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            iou=None if options.format == "end2end" else options.iou,
            across_classes=options.across_classes,
        )
        flat = np.clip(protos.reshape(len(protos), -1), -_LARGEST, _LARGEST).astype(np.float32)
        bounded = np.clip(coefficients[found.rows], -_LARGEST, _LARGEST).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            logits = np.nan_to_num(bounded @ flat)
        limit = _logit(options.mask_threshold)
        shown = (logits.reshape(len(found.rows), *protos.shape[1:]) - limit).astype(np.float32)
        made = found.detections(frame, self._names)
        return _painted(made, found, shown, frame, over_boxes=False)

    def _with_masks(
        self, decoder: DetectionsDecoder, outputs: Outputs, frame: FrameInfo
    ) -> Detections:
        found = decoder.chosen(outputs, frame)
        masks = take(outputs, self._masks, [None, None, None, None])
        if masks.shape[1] != 1:  # [1, N, h, w] instead of [N, 1, h, w]
            masks = masks.swapaxes(0, 1)
        if masks.shape[1] != 1 or len(masks) <= found.rows.max(initial=-1):
            raise DecodeError(
                "there is not one mask a box",
                where=f"outputs.{self._masks}",
                value=list(masks.shape),
                expected="shape [boxes, 1, h, w] or [1, boxes, h, w]",
            )
        shown = np.clip(masks[found.rows, 0], 0.0, 1.0) - np.float32(self._options.mask_threshold)
        over_boxes = self._options.masks_cover == "box" or (
            self._options.masks_cover == "auto" and max(masks.shape[2:]) <= 64
        )
        made = found.detections(frame, decoder.names)
        return _painted(made, found, shown, frame, over_boxes=over_boxes)

    def _read(
        self, outputs: Outputs, protos: int
    ) -> tuple[Floats, Floats, npt.NDArray[np.int64], Floats]:
        """Return xyxy boxes [N, 4], scores [N], class numbers [N] and coefficients [N, M]."""
        kind = self._options.format
        if kind == "yolov8":
            rows = take(outputs, self._rows, [1, self._width, None])[0].T
        else:
            rows = take(outputs, self._rows, [1, None, self._width])[0]
        before = {"yolov8": 4, "yolov5": 5, "end2end": 6}[kind]
        if rows.shape[1] < before + protos or (
            kind != "end2end" and rows.shape[1] == before + protos
        ):
            raise DecodeError(
                "the output is too narrow",
                where=f"outputs.{self._rows}",
                value=list(rows.shape),
                expected=f"{before + protos} numbers a box, and one a class",
            )
        last = rows.shape[1] - protos
        if kind == "end2end":
            numbers = np.clip(rows[:, 5], -1, 1_000_000).astype(np.int64)
            return rows[:, :4], rows[:, 4], numbers, rows[:, 6 : 6 + protos]
        best, classes = best_class(rows[:, before:last])
        if kind == "yolov5":
            with np.errstate(over="ignore", invalid="ignore"):
                best = np.asarray(best * rows[:, 4], np.float32)
        return to_corners(rows[:, :4], "cxcywh"), best, classes, rows[:, last:]


def _painted(
    made: Detections, found: Selected, shown: Floats, frame: FrameInfo, *, over_boxes: bool
) -> Detections:
    """Return detections with the map of their masks.

    Args:
        made: the detections.
        found: the same boxes, in pixels of the network's input.
        shown: float32 [N, h, w], positive where a mask is; over the network's input, or each over
            its own box.
        frame: source frame and input.
        over_boxes: whether masks lie over their boxes.
    """
    if len(shown) and not shown[0].size:
        raise DecodeError(
            "the masks have no cells",
            where="outputs",
            value=list(shown.shape[1:]),
            expected="a height and a width of at least 1",
        )
    canvas = np.zeros((frame.height, frame.width), np.uint8)
    edges = np.concatenate([np.floor(made.boxes[:, :2]), np.ceil(made.boxes[:, 2:])], axis=1)
    for index in range(len(made.labels) - 1, -1, -1):  # the best comes last and lies on top
        left, top, right, bottom = edges[index].astype(int).tolist()
        if right <= left or bottom <= top:
            continue
        laid = lay(
            shown[index],
            frame,
            window=(left, top, right, bottom),
            covers=tuple(found.boxes[index].tolist()) if over_boxes else None,
        )
        canvas[top:bottom, left:right][laid > 0] = index + 1
    return Detections(made.boxes, made.scores, made.labels, instances=canvas)


def _logit(probability: float) -> float:
    bounded = min(max(probability, 1e-6), 1 - 1e-6)
    return float(np.log(bounded / (1 - bounded)))


def _of_rank(context: DecoderContext, name: str, rank: int, what: str) -> TensorInfo:
    """Return the output of a name or, where none is given, the first of a rank."""
    fitting = [item.name for item in context.outputs if len(item.shape) == rank]
    if not name and not fitting:
        raise DecodeError(
            f"the network has no output of rank {rank} for the {what}",
            where="output.decoder",
            value={item.name: list(item.shape) for item in context.outputs},
            expected="rows of boxes (rank 3) and masks or prototypes (rank 4)",
        )
    return pick(context, name or fitting[0], 0, (rank,))


def _boxes_apart(
    context: DecoderContext, options: InstancesOptions, masks: str
) -> DetectionsDecoder:
    return DetectionsDecoder(
        DecoderContext(
            options={
                "threshold": options.threshold,
                "max_boxes": options.max_boxes,
                "labels": options.labels,
                "first_class": options.first_class,
                "boxes_tensor": options.rows_tensor,
            },
            preprocess=context.preprocess,
            outputs=[item for item in context.outputs if item.name != masks],
            metadata=context.metadata,
        )
    )
