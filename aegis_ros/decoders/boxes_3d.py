"""Boxes in space, of networks that read lidars."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import Labels, Threshold
from aegis_ros.decoders.results import Boxes3D
from aegis_ros.decoders.scores import best_class, sigmoid
from aegis_ros.decoders.space import YawSense, choose_3d
from aegis_ros.errors import ConfigError, DecodeError

__all__ = ["Boxes3DDecoder", "Boxes3DOptions"]

_ALWAYS = ("x", "y", "z", "length", "width", "height", "yaw")
_COLUMNS = (*_ALWAYS, "vx", "vy", "score", "class", "skip")

Floats = npt.NDArray[np.float32]
Column = Literal[
    "x", "y", "z", "length", "width", "height", "yaw", "vx", "vy", "score", "class", "skip"
]


class Boxes3DOptions(Options):
    """Options of the ``boxes_3d`` decoder."""

    columns: Annotated[
        list[Column], Shown("x, y, z, length, width, height, yaw; of nine also score, class")
    ] = Field(
        default_factory=list,
        max_length=32,
        description="what the numbers of a row are: " + ", ".join(f"`{name}`" for name in _COLUMNS),
    )
    threshold: Threshold = 0.3
    min_distance_m: float = Field(
        0.0,
        ge=0.0,
        le=100.0,
        description="of boxes of one class whose centres are closer, the lesser goes; 0 for "
        "networks that suppress themselves",
    )
    max_boxes: int = Field(200, ge=1, le=1000, description="largest number of boxes")
    labels: Labels = ""
    first_class: int = Field(
        0, ge=0, le=1000, description="number that the network gives the first name of `labels`"
    )
    z: Literal["center", "bottom"] = Field(
        "center", description="what z is: the centre of the box, or its bottom"
    )
    yaw: YawSense = "counter_clockwise"
    yaw_offset: float = Field(
        0.0, ge=-7.0, le=7.0, description="radians added to the yaw, after its sense"
    )
    sigmoid: bool = Field(False, description="scores are logits of independent sigmoids")
    boxes_tensor: Annotated[str, Shown("that with seven or more columns")] = Field(
        "", description="output with the rows"
    )
    scores_tensor: Annotated[str, Shown("the next of real numbers")] = Field(
        "", description="output with the scores, [1, N] or [1, N, C]"
    )
    classes_tensor: Annotated[str, Shown("that of whole numbers, or called `labels`")] = Field(
        "", description="output with the class numbers"
    )


class Boxes3DDecoder:
    """Reads rows [1, N, 7 or more] and, where they do not hold them, scores and classes."""

    OPTIONS = Boxes3DOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(Boxes3DOptions, context.options)
        wide = [
            item.name
            for item in context.outputs
            if len(item.shape) in (2, 3) and isinstance(item.shape[-1], int) and item.shape[-1] > 6
        ]
        boxes = pick(context, options.boxes_tensor or (wide or [""])[0], 0, (2, 3))
        self._boxes, width = boxes.name, boxes.shape[-1]
        self._columns = _columns(options, width)
        if isinstance(width, int) and width != len(self._columns):
            raise DecodeError(
                f"output {boxes.name!r} of shape {list(boxes.shape)} has {width} numbers a box",
                where="output.options.columns",
                value=list(self._columns),
                expected=f"{len(self._columns)}, one a column",
                hint="Name every number of a row; `skip` those that do not matter",
            )
        rest = [item for item in context.outputs if item.name != boxes.name and len(item.shape) < 4]
        self._scores, self._classes, count = "", "", None
        if "class" not in self._columns:
            known = options.classes_tensor or next(
                (
                    item.name
                    for item in rest
                    if "int" in item.dtype or "label" in item.name or "class" in item.name
                ),
                "",
            )
            self._classes = pick(context, known, 0, (1, 2)).name if known else ""
        if "score" not in self._columns:
            others = [item.name for item in rest if item.name != self._classes]
            scores = pick(context, options.scores_tensor or (others or [""])[0], 1, (1, 2, 3))
            self._scores = scores.name
            if len(scores.shape) == 3 and isinstance(scores.shape[2], int):
                count = scores.shape[2]
        self._names = class_names(options.labels, context.metadata, count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Boxes3D:
        """Return the boxes in metres of the sensor's frame."""
        options = self._options
        rows = take(outputs, self._boxes, [1, None, len(self._columns)])[0]
        scores, classes = self._scored(outputs, rows)
        velocities = None
        if "vx" in self._columns and "vy" in self._columns:
            velocities = rows[:, [self._at("vx"), self._at("vy")]]
        boxes = rows[:, [self._at(name) for name in _ALWAYS]].copy()
        with np.errstate(over="ignore", invalid="ignore"):
            if options.z == "bottom":
                boxes[:, 2] += boxes[:, 5] / 2
            if options.yaw == "clockwise":
                boxes[:, 6] = -boxes[:, 6]
            boxes[:, 6] += np.float32(options.yaw_offset)
        return choose_3d(
            boxes,
            scores,
            classes - options.first_class,
            velocities,
            names=self._names,
            threshold=options.threshold,
            min_distance_m=options.min_distance_m,
            limit=options.max_boxes,
        )

    def _scored(self, outputs: Outputs, rows: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Return scores [N] and class numbers [N] of the rows."""
        classes = np.zeros(len(rows), np.int64)
        if not self._scores:
            scores = rows[:, self._at("score")]
        elif np.ndim(outputs.get(self._scores, 0)) == 3:
            table = take(outputs, self._scores, [1, len(rows), None])[0]
            scores, classes = best_class(table)
        else:
            scores = take(outputs, self._scores, [1, len(rows)])[0]
        numbers = rows[:, self._at("class")] if "class" in self._columns else None
        if self._classes:
            numbers = take(outputs, self._classes, [1, len(rows)])[0]
        if numbers is not None:
            classes = np.clip(numbers, -1, 1_000_000).astype(np.int64)
        return sigmoid(scores) if self._options.sigmoid else scores, classes

    def _at(self, name: str) -> int:
        return self._columns.index(name)


def _columns(options: Boxes3DOptions, width: int | str) -> tuple[str, ...]:
    columns: tuple[str, ...] = tuple(options.columns)
    if not columns:
        columns = (*_ALWAYS, "score", "class") if width == len(_ALWAYS) + 2 else _ALWAYS
    counts = Counter(name for name in columns if name != "skip")
    missing = [name for name in _ALWAYS if name not in counts]
    twice = [name for name, count in counts.items() if count > 1]
    if missing or twice:
        raise ConfigError(
            f"{missing[0]} is missing" if missing else f"{twice[0]} stands there twice",
            where="output.options.columns",
            value=list(columns),
            expected="each of " + ", ".join(_ALWAYS) + " once",
        )
    return columns
