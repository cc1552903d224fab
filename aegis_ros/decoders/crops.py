"""Results of a network that ran on several parts of a frame."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.base import Decoder, Outputs
from aegis_ros.decoders.frame import FrameInfo
from aegis_ros.decoders.results import CropResults, Detections, Embedding
from aegis_ros.spec import PreprocessSpec

__all__ = ["decode_crops", "in_frame"]


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


def in_frame(found: CropResults) -> Detections | npt.NDArray[np.float32] | None:
    """Return what parts of a frame hold as one result of the frame.

    Keypoints of all parts become detections in pixels of the frame, called by the labels of their
    parts; embeddings become float32 [N, D]. Other results have no such form: ``None``.
    """
    vectors = [each.vector for each in found.results if isinstance(each, Embedding)]
    if vectors and len(vectors) == len(found.results) and len({len(each) for each in vectors}) == 1:
        return np.stack(vectors)
    parts = [
        (each, offset, label)
        for each, offset, label in zip(found.results, found.boxes[:, :2], found.labels, strict=True)
        if isinstance(each, Detections) and each.landmarks is not None and len(each.boxes)
    ]
    shapes = {each.landmarks.shape[1] for each, _, _ in parts if each.landmarks is not None}
    if not parts or len(shapes) > 1:
        return None
    shifts = [np.repeat(offset[None], len(each.boxes), axis=0) for each, offset, _ in parts]
    shift = np.concatenate(shifts).astype(np.float32)
    places = np.concatenate([each.landmarks for each, _, _ in parts if each.landmarks is not None])
    scores = [each.landmark_scores for each, _, _ in parts if each.landmark_scores is not None]
    return Detections(
        boxes=np.concatenate([each.boxes for each, _, _ in parts]) + np.tile(shift, 2),
        scores=np.concatenate([each.scores for each, _, _ in parts]),
        labels=tuple(label or each.labels[0] for each, _, label in parts for _ in each.boxes),
        landmarks=places + shift[:, None],
        landmark_scores=np.concatenate(scores) if len(scores) == len(parts) else None,
        landmark_names=parts[0][0].landmark_names,
    )
