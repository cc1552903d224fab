"""Heat-map faces: centre, size, offset and five landmarks for every cell."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from aegis_ros.decoders.base import DecoderContext, Options, Outputs, parse, pick, take
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.options import Iou, Threshold
from aegis_ros.decoders.results import Detections
from aegis_ros.decoders.suppression import suppress
from aegis_ros.errors import DecodeError

__all__ = ["CenterFaceDecoder", "CenterFaceOptions"]

_STRIDE = 4
_CHANNELS = (1, 2, 2, 10)  # heat, log size, offset, landmarks
_MAX_CANDIDATES = 3000


class CenterFaceOptions(Options):
    """Options of the ``centerface`` decoder."""

    threshold: Threshold = 0.5
    iou: Iou = 0.3
    max_faces: int = Field(200, ge=1, le=1000, description="largest number of faces")
    label: str = Field("face", description="what to call them")


class CenterFaceDecoder:
    """Reads CenterFace (Xu et al. 2019): outputs of 1, 2, 2 and 10 channels at stride 4."""

    OPTIONS = CenterFaceOptions

    def __init__(self, context: DecoderContext) -> None:
        """Check the options against the network."""
        self._options = parse(CenterFaceOptions, context.options)
        infos = [pick(context, "", index, (4,)) for index in range(4)]
        channels = tuple(info.shape[1] for info in infos)
        if any(
            isinstance(have, int) and have != want
            for have, want in zip(channels, _CHANNELS, strict=True)
        ):
            raise DecodeError(
                "the outputs are not those of CenterFace",
                where="output.decoder",
                value=[list(info.shape) for info in infos],
                expected="four outputs with 1, 2, 2 and 10 channels",
                hint="Use decoder: raw, or the decoder that fits the network",
            )
        self._names = tuple(info.name for info in infos)

    def decode(self, outputs: Outputs, frame: FrameInfo) -> Detections:
        """Return the faces with eyes, nose and mouth corners as landmarks."""
        heat = take(outputs, self._names[0], [1, 1, None, None])[0, 0]
        size, offset, marks = (
            take(outputs, name, [1, channels, *heat.shape])[0]
            for name, channels in zip(self._names[1:], _CHANNELS[1:], strict=True)
        )
        rows, columns = np.nonzero(heat > self._options.threshold)
        scores = heat[rows, columns]
        if scores.size > _MAX_CANDIDATES:  # garbage: keep suppression cheap
            best = np.argpartition(-scores, _MAX_CANDIDATES)[:_MAX_CANDIDATES]
            rows, columns, scores = rows[best], columns[best], scores[best]
        with np.errstate(over="ignore", invalid="ignore"):
            extent = np.exp(np.clip(size[:, rows, columns], -20.0, 12.0)) * _STRIDE  # height, width
            centre = (
                np.stack([columns, rows]) + offset[::-1, rows, columns] + np.float32(0.5)
            ) * _STRIDE  # x, y
            corner = centre - extent[::-1] / 2
            boxes = np.concatenate([corner, corner + extent[::-1]]).T
            points = marks[:, rows, columns].reshape(5, 2, -1)[:, ::-1]  # y, x -> x, y
            points = (points * extent[::-1] + corner).transpose(2, 0, 1)
        finite = np.isfinite(boxes).all(axis=1) & np.isfinite(points).all(axis=(1, 2))
        boxes, points, scores = boxes[finite], points[finite], scores[finite]
        keep = suppress(
            boxes.astype(np.float32), scores, None, self._options.iou, limit=self._options.max_faces
        )
        return Detections(
            boxes=frame.to_source(boxes[keep].reshape(-1, 2, 2)).reshape(-1, 4),
            scores=np.clip(scores[keep], 0.0, 1.0),
            labels=(self._options.label,) * len(keep),
            landmarks=frame.to_source(points[keep]),
        )
