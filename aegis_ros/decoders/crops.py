"""Decodes the outputs of a network that ran on several parts of a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.base import Decoder, Outputs
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.results import CropResults
from aegis_ros.spec import PreprocessSpec

__all__ = ["decode_crops"]


def decode_crops(
    decoder: Decoder,
    outputs: Outputs,
    boxes: npt.NDArray[np.int32],
    labels: tuple[str, ...],
    *,
    preprocess: PreprocessSpec,
) -> CropResults:
    """Return what a decoder makes of each part.

    Args:
        decoder: of one frame.
        outputs: the first extent of each is the number of parts.
        boxes: int32 [N, 4], where the parts lie in the source frame.
        labels: N names.
        preprocess: how the parts were brought to the network's size.

    Raises:
        DecodeError: the decoder cannot read the outputs.
    """
    results = []
    for index, (left, top, right, bottom) in enumerate(boxes.tolist()):
        own = {name: values[index : index + 1] for name, values in outputs.items()}
        info = FrameInfo.of((bottom - top, right - left), preprocess)
        result = decoder.decode(own, info)
        assert not isinstance(result, CropResults)
        results.append(result)
    return CropResults(boxes, labels, tuple(results))
