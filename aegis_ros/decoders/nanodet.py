"""Boxes of NanoDet: class scores, and distances to the four edges as distributions."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.grid import cells
from aegis_ros.decoders.labels import class_names
from aegis_ros.decoders.options import AcrossClasses, Iou, Labels, MaxBoxes, Threshold
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.scores import best_class, sigmoid, softmax
from aegis_ros.decoders.selection import select
from aegis_ros.errors import ConfigError, DecodeError
from aegis_ros.network.tensor import TensorInfo

__all__ = ["NanoDetDecoder", "NanoDetOptions"]

_USUAL_STRIDES = ((8, 16, 32, 64), (8, 16, 32))

Floats = npt.NDArray[np.float32]


class NanoDetOptions(Options):
    """Options of the ``nanodet`` decoder."""

    threshold: Threshold = 0.35
    iou: Iou = 0.6
    across_classes: AcrossClasses = False
    max_boxes: MaxBoxes = 100
    labels: Labels = ""
    strides: Annotated[
        tuple[int, ...], Shown("8, 16, 32 and, where the number of boxes says so, 64")
    ] = Field((), max_length=8, description="cell sizes in pixels")
    reg_max: int = Field(
        7, ge=1, le=64, description="largest distance in cells: `reg_max` in NanoDet's config"
    )
    offset: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="where the centre lies in a cell: 0 for NanoDet-Plus, 0.5 for NanoDet before",
    )
    sigmoid: bool = Field(False, description="class scores are logits; exports have scores")


class NanoDetDecoder:
    """Reads [1, N, C + 4 * (reg_max + 1)], or class scores and distances of each level apart."""

    OPTIONS = NanoDetOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(NanoDetOptions, context.options)
        if options.strides and min(options.strides) < 1:
            raise ConfigError(
                "a stride must be positive",
                where="output.options.strides",
                value=list(options.strides),
            )
        bins = self._bins = 4 * (options.reg_max + 1)
        infos = [pick(context, "", index, (2, 3)) for index in range(len(context.outputs) or 1)]
        self._whole, self._parts = "", _paired(infos, bins)
        width = infos[0].shape[-1]
        count: int | str | None = None
        if len(infos) == 1:
            self._whole = infos[0].name
            count = width - bins if isinstance(width, int) else None
        elif self._parts:
            count = next(item.shape[-1] for item in infos if item.name == self._parts[0][0])
        if (isinstance(count, int) and count < 1) or not (self._whole or self._parts):
            raise DecodeError(
                "the outputs are not those of NanoDet",
                where="output.decoder",
                value=[list(item.shape) for item in infos],
                expected=f"[1, boxes, classes + {bins}], or pairs of [1, boxes, classes] and "
                f"[1, boxes, {bins}]",
                hint="Set output.options.reg_max to that of the network",
            )
        self._count = count if isinstance(count, int) else None
        self._names = class_names(options.labels, context.metadata, self._count)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the boxes in pixels of the source frame."""
        options = self._options
        scores, distances = self._levels(outputs)
        if options.sigmoid:
            scores = sigmoid(scores)
        best, classes = best_class(scores)
        likely = np.nonzero(best >= options.threshold)[0]  # softmax is what costs
        centres, edges = self._centres(frame, len(scores))
        shares = softmax(distances[likely].reshape(-1, 4, options.reg_max + 1))
        reach = shares @ np.arange(options.reg_max + 1, dtype=np.float32) * edges[likely]
        centre = centres[likely]
        boxes = np.concatenate([centre - reach[:, :2], centre + reach[:, 2:]], axis=1)
        return select(
            boxes,
            best[likely],
            classes[likely],
            frame,
            threshold=options.threshold,
            limit=options.max_boxes,
            iou=options.iou,
            across_classes=options.across_classes,
        ).detections(frame, self._names)

    def _levels(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """Return class scores [N, C] and distances [N, 4 * (reg_max + 1)] of all cells."""
        if self._whole:
            width = None if self._count is None else self._count + self._bins
            rows = take(outputs, self._whole, [1, None, width])[0]
            if rows.shape[1] <= self._bins:
                raise DecodeError(
                    "the output has no class scores",
                    where=f"outputs.{self._whole}",
                    value=list(rows.shape),
                    expected=f"shape [1, boxes, classes + {self._bins}]",
                )
            return rows[:, : -self._bins], rows[:, -self._bins :]
        levels = []
        for scores_name, distances_name in self._parts:
            scores = take(outputs, scores_name, [1, None, self._count])[0]
            levels.append((scores, take(outputs, distances_name, [1, len(scores), self._bins])[0]))
        levels.sort(key=lambda level: -len(level[0]))  # fine cells first, as the strides
        return (
            np.concatenate([scores for scores, _ in levels]),
            np.concatenate([distances for _, distances in levels]),
        )

    def _centres(self, frame: FrameInfo, count: int) -> tuple[Floats, Floats]:
        given = self._options.strides
        for strides in (given,) if given else _USUAL_STRIDES:
            places, edges = cells(frame, strides)
            if len(places) == count:
                return (places + np.float32(self._options.offset)) * edges, edges
        raise DecodeError(
            "the number of boxes does not fit the strides",
            where=f"outputs.{self._whole or self._parts[0][0]}",
            value=count,
            expected=f"{len(places)} for strides {list(strides)} and input "
            f"{frame.input_height} x {frame.input_width}",
            hint="Set output.options.strides to those of the network",
        )


def _paired(infos: list[TensorInfo], bins: int) -> list[tuple[str, str]]:
    """Return the names of class scores and distances that belong together; none if they do not."""
    if len(infos) < 2 or len(infos) % 2:
        return []
    distances = [item for item in infos if item.shape[-1] == bins and "cls" not in item.name]
    scores = [item for item in infos if item not in distances]
    by_rows = {item.shape[-2]: item for item in distances}
    if len(scores) != len(distances) or {item.shape[-2] for item in scores} != set(by_rows):
        return []
    return [(item.name, by_rows[item.shape[-2]].name) for item in scores]
