"""Where there is text: the probability map of a DB network (Liao et al. 2020)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.options import TensorName
from aegis_ros.decoders.results import TextRegions

__all__ = ["TextRegionsDecoder", "TextRegionsOptions", "clockwise"]


class TextRegionsOptions(Options):
    """Options of the ``text_regions`` decoder."""

    threshold: float = Field(
        0.3, ge=0.0, le=1.0, description="probability above which a pixel belongs to text"
    )
    box_threshold: float = Field(
        0.5, ge=0.0, le=1.0, description="least mean probability inside a region"
    )
    unclip: float = Field(
        1.6,
        ge=0.0,
        le=10.0,
        description="how far a region grows to every side, as area * unclip / perimeter: the "
        "network marks the core of a line, not all of it",
    )
    min_side: float = Field(
        3.0,
        ge=0.0,
        description="regions with a shorter side, in pixels of the network's input, are left out",
    )
    max_regions: int = Field(300, ge=1, le=1000, description="largest number of regions")
    dilate: bool = Field(True, description="join strokes that one pixel keeps apart")
    tensor: TensorName = ""


class TextRegionsDecoder:
    """Reads a probability map [1, 1, h, w]."""

    OPTIONS = TextRegionsOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(TextRegionsOptions, context.options)
        self._name = pick(context, self._options.tensor, 0, (3, 4)).name

    def decode(self, outputs: Outputs, frame: FrameInfo) -> TextRegions:
        """Return the regions from top to bottom, then left to right."""
        options = self._options
        array = outputs.get(self._name)
        shape: list[int | None] = [1, None, None]
        if array is None or np.ndim(array) != 3:
            shape = [1, 1, None, None]
        values = take(outputs, self._name, shape)
        probability = np.ascontiguousarray(values.reshape(values.shape[-2:]))
        if probability.size == 0:
            return _regions([], [], frame)
        binary = (probability > options.threshold).astype(np.uint8)
        if options.dilate:
            binary = np.asarray(cv2.dilate(binary, np.ones((2, 2), np.uint8)), np.uint8)
        contours, _ = cv2.findContours(binary, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        rows = frame.input_height / probability.shape[0]
        columns = frame.input_width / probability.shape[1]
        quads: list[npt.NDArray[np.float32]] = []
        scores: list[float] = []
        for contour in contours[: options.max_regions]:
            centre, sides, angle = cv2.minAreaRect(contour)
            if min(sides) < options.min_side:
                continue
            corners = cv2.boxPoints((centre, sides, angle))
            score = _mean_inside(probability, corners)
            if score < options.box_threshold:
                continue
            grow = 2.0 * sides[0] * sides[1] * options.unclip / (2.0 * (sides[0] + sides[1]))
            grown = (sides[0] + grow, sides[1] + grow)
            if min(grown) < options.min_side + 2:
                continue
            quad = clockwise(np.asarray(cv2.boxPoints((centre, grown, angle)), np.float32))
            quads.append(quad * np.asarray([columns, rows], np.float32))
            scores.append(score)
        return _regions(quads, scores, frame)


def clockwise(corners: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the four corners [4, 2] clockwise (y down), beginning top left."""
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    left = by_x[:2][np.argsort(by_x[:2, 1], kind="stable")]
    right = by_x[2:][np.argsort(by_x[2:, 1], kind="stable")]
    return np.asarray([left[0], right[0], right[1], left[1]], np.float32)


def _mean_inside(probability: npt.NDArray[np.float32], corners: npt.NDArray[np.float32]) -> float:
    height, width = probability.shape
    low = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, [width - 1, height - 1])
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, [width - 1, height - 1])
    inside = np.zeros((high[1] - low[1] + 1, high[0] - low[0] + 1), np.uint8)
    cv2.fillPoly(inside, [np.asarray(corners - low, np.int32)], 1)
    window = probability[low[1] : high[1] + 1, low[0] : high[0] + 1]
    return float(cv2.mean(window, inside)[0])


def _regions(
    quads: list[npt.NDArray[np.float32]], scores: list[float], frame: FrameInfo
) -> TextRegions:
    mapped = frame.to_source(np.asarray(quads, np.float32).reshape(-1, 4, 2))
    order = np.lexsort((mapped[:, 0, 0], mapped[:, 0, 1]))
    return TextRegions(
        quads=mapped[order],
        texts=("",) * len(quads),
        scores=np.clip(np.asarray([scores[index] for index in order], np.float32), 0.0, 1.0),
    )
