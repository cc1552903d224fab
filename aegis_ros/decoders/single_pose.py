"""The keypoints of the one person or thing that a frame, or a crop of it, shows."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.config.keys import Shown
from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.keypoints import KeypointNames, keypoint_names
from aegis_ros.decoders.results import Detections
from aegis_ros.errors import DecodeError

__all__ = ["SinglePoseDecoder", "SinglePoseOptions"]

_MOST_KEYPOINTS = 1000

Floats = npt.NDArray[np.float32]


class SinglePoseOptions(Options):
    """Options of the ``single_pose`` decoder."""

    format: Literal["heatmaps", "simcc", "movenet"] = Field(
        "heatmaps",
        description="layout of the output: `heatmaps` [1, K, h, w] (HRNet, SimpleBaseline), "
        "`simcc` with one output a direction, [1, K, X] and [1, K, Y] (RTMPose), `movenet` "
        "[1, 1, K, 3]",
    )
    threshold: float = Field(
        0.2, ge=0.0, le=1.0, description="least mean score of the keypoints; 0 reports always"
    )
    min_keypoint: float = Field(
        0.2,
        ge=0.0,
        le=1.0,
        description="keypoints with a lesser score do not count for the box around them",
    )
    names: KeypointNames = Field(default_factory=list)
    label: str = Field("person", description="what to call it")
    tensor: Annotated[str, Shown("the first")] = Field(
        "", description="output to read; for `simcc` that along x"
    )
    y_tensor: Annotated[str, Shown("the second")] = Field(
        "", description="output along y, for `simcc`"
    )


class SinglePoseDecoder:
    """Reads one place for each keypoint."""

    OPTIONS = SinglePoseOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = options = parse(SinglePoseOptions, context.options)
        ranks = {"heatmaps": (4,), "simcc": (3,), "movenet": (4,)}[options.format]
        info = pick(context, options.tensor, 0, ranks)
        self._name, self._y_name = info.name, ""
        if options.format == "simcc":
            self._y_name = pick(context, options.y_tensor, 1, ranks).name
        count = info.shape[2] if options.format == "movenet" else info.shape[1]
        if options.format == "movenet" and info.shape[3] not in (3, "?"):
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} is not that of MoveNet",
                where="output.options.format",
                value=options.format,
                expected="[1, 1, keypoints, 3]",
            )
        if isinstance(count, int) and not 0 < count <= _MOST_KEYPOINTS:
            raise DecodeError(
                f"output {info.name!r} of shape {list(info.shape)} has {count} keypoints",
                where="output.decoder",
                expected=f"1 to {_MOST_KEYPOINTS}",
            )
        self._count = count if isinstance(count, int) else None
        self._names = keypoint_names(options.names, self._count or len(options.names))

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return one box around the keypoints, or none where their mean score is too low."""
        options = self._options
        places, scores = self._read(outputs)
        scores = np.clip(scores, 0.0, 1.0)
        size = np.asarray([frame.input_width, frame.input_height], np.float32)
        with np.errstate(over="ignore"):
            points = frame.to_source(places * size)
        mean = float(scores.mean()) if scores.size else 0.0
        certain = points[scores >= options.min_keypoint]
        if mean < options.threshold or not len(certain):
            points, scores = points[:0], scores[:0]
            boxes = np.zeros((0, 4), np.float32)
        else:
            boxes = np.concatenate([certain.min(axis=0), certain.max(axis=0)])[None]
        count = len(boxes)
        return Detections(
            boxes=boxes,
            scores=np.full(count, mean, np.float32),
            labels=(options.label,) * count,
            landmarks=points.reshape(count, -1, 2) if count else np.zeros((0, 0, 2), np.float32),
            landmark_scores=scores.reshape(count, -1) if count else np.zeros((0, 0), np.float32),
            landmark_names=self._names,
        )

    def _read(self, outputs: Outputs) -> tuple[Floats, Floats]:
        """Return x and y [K, 2] as shares of the input's width and height, and scores [K]."""
        if self._options.format == "movenet":
            rows = take(outputs, self._name, [1, 1, self._count, 3])[0, 0]
            return rows[:, 1::-1], rows[:, 2]
        if self._options.format == "simcc":
            along_x = take(outputs, self._name, [1, self._count, None])[0]
            along_y = take(outputs, self._y_name, [1, len(along_x), None])[0]
            self._require_extent(along_x.shape[1] and along_y.shape[1])
            places = np.stack(
                [
                    along_x.argmax(axis=1) / along_x.shape[1],
                    along_y.argmax(axis=1) / along_y.shape[1],
                ],
                axis=1,
            )
            return places.astype(np.float32), np.minimum(along_x.max(axis=1), along_y.max(axis=1))
        heat = take(outputs, self._name, [1, self._count, None, None])[0]
        self._require_extent(heat.shape[1] * heat.shape[2])
        best = heat.reshape(len(heat), -1).argmax(axis=1)
        rows, columns = np.divmod(best, heat.shape[2])
        cells = np.stack([columns, rows], axis=1) + _towards_the_neighbour(heat, rows, columns)
        places = cells / np.asarray([heat.shape[2], heat.shape[1]])
        return places.astype(np.float32), heat[np.arange(len(heat)), rows, columns]

    def _require_extent(self, extent: int) -> None:
        if not extent:
            raise DecodeError(
                "the output is empty",
                where=f"outputs.{self._name}",
                expected="places to choose from",
            )


def _towards_the_neighbour(
    heat: Floats, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return a quarter of a cell [K, 2] towards the higher neighbour along x and along y."""
    padded = np.pad(heat, ((0, 0), (1, 1), (1, 1)), mode="reflect")  # none at the border
    index, row, column = np.arange(len(heat)), rows + 1, columns + 1
    right = padded[index, row, column + 1] > padded[index, row, column - 1]
    left = padded[index, row, column + 1] < padded[index, row, column - 1]
    down = padded[index, row + 1, column] > padded[index, row - 1, column]
    up = padded[index, row + 1, column] < padded[index, row - 1, column]
    steps = np.stack([right.astype(int) - left, down.astype(int) - up], axis=1)
    return 0.25 * steps
