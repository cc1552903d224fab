"""What decoders make of a network's outputs, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "Boxes3D",
    "Classification",
    "CropResults",
    "Decoded",
    "DepthMap",
    "Detections",
    "Embedding",
    "Obstacles",
    "RawTensors",
    "SegmentationMask",
    "TextRegions",
]

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RawTensors:
    """The outputs as they are.

    Attributes:
        tensors: output arrays by name; views that live as long as the job's output slot.
    """

    tensors: Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Things with a box, best score first.

    Attributes:
        boxes: float32 [N, 4], left, top, right, bottom in pixels of the source frame.
        scores: float32 [N], 0..1.
        labels: N class names.
        landmarks: float32 [N, K, 2], x and y in pixels of the source frame, or ``None``.
        landmark_scores: float32 [N, K], 0..1, or ``None`` where the network gives none.
        landmark_names: K names, or none where nobody knows them.
        instances: uint8 [H, W] of the source frame's size, 0 where there is none of them and else
            the number of a box, counted from 1; ``None`` where the network gives no masks.
        turned: float32 [N, 5], centre x and y, width, height in pixels of the source frame, and the
            angle of the width in radians, from x towards y; ``boxes`` enclose them. ``None`` where
            the network gives none.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: tuple[str, ...]
    landmarks: FloatArray | None = None
    landmark_scores: FloatArray | None = None
    landmark_names: tuple[str, ...] = ()
    instances: npt.NDArray[np.uint8] | None = None
    turned: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """The likeliest classes of the whole frame, best first.

    Attributes:
        labels: K class names.
        scores: float32 [K].
    """

    labels: tuple[str, ...]
    scores: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SegmentationMask:
    """A class for every pixel.

    Attributes:
        mask: uint8 [H, W] class indices, of the source frame's size.
        labels: class names; the index is the value in ``mask``.
    """

    mask: npt.NDArray[np.uint8]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TextRegions:
    """Places with text, and what is written there where the network reads.

    Attributes:
        quads: float32 [N, 4, 2], corners clockwise from top left, in pixels of the source frame.
        texts: N strings, empty where the network only finds text.
        scores: float32 [N], 0..1.
    """

    quads: FloatArray
    texts: tuple[str, ...]
    scores: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Obstacles:
    """What stands on the ground around a lidar, nearest first.

    Attributes:
        boxes: float32 [N, 4], x_min, y_min, x_max, y_max in metres of the sensor's frame.
        heights: float32 [N], highest point above the local ground in metres.
        distances: float32 [N], from the sensor to the nearest cell in metres.
        mask: uint8 [X, Y], 1 where a cell holds an obstacle; axis 0 runs along x (forward),
            axis 1 along y (left), both upwards.
        origin: x and y of the corner of cell (0, 0) in metres.
        resolution: edge of a cell in metres.
    """

    boxes: FloatArray
    heights: FloatArray
    distances: FloatArray
    mask: npt.NDArray[np.uint8]
    origin: tuple[float, float]
    resolution: float


@dataclass(frozen=True, slots=True, eq=False)
class Boxes3D:
    """Things around a lidar, best score first.

    Attributes:
        boxes: float32 [N, 7], centre x, y, z, then length, width, height in metres of the
            sensor's frame, and yaw in radians, counter-clockwise from x.
        scores: float32 [N], 0..1.
        labels: N class names.
        velocities: float32 [N, 2], along x and y in metres a second, or ``None``.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: tuple[str, ...]
    velocities: FloatArray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DepthMap:
    """A distance for every pixel, as REP 118 has it.

    Attributes:
        metres: float32 [H, W] of the source frame's size; -inf where it is too near, inf where it
            is too far, NaN where nobody knows.
    """

    metres: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What a frame looks like, as a direction in a space of features.

    Attributes:
        vector: float32 [D].
    """

    vector: FloatArray


OfOneFrame = (
    RawTensors
    | Detections
    | Classification
    | SegmentationMask
    | TextRegions
    | Obstacles
    | Boxes3D
    | DepthMap
    | Embedding
)


@dataclass(frozen=True, slots=True, eq=False)
class CropResults:
    """What was made of parts of a frame, each by itself.

    Attributes:
        boxes: int32 [N, 4], left, top, right, bottom of each part in pixels of the source frame.
        labels: N names, from the task that found the parts.
        results: N results; places in them are pixels of their part.
    """

    boxes: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    results: tuple[OfOneFrame, ...]


Decoded = OfOneFrame | CropResults
