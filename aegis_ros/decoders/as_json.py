"""Results as compact JSON text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.decoders.results import (
    Boxes3D,
    Classification,
    CropResults,
    Decoded,
    DepthMap,
    Detections,
    Embedding,
    Obstacles,
    RawTensors,
    SegmentationMask,
    TextRegions,
)

__all__ = ["to_json"]

_LARGEST = float(np.finfo(np.float32).max)  # stands for infinity, which JSON does not know


def to_json(decoded: Decoded) -> str:
    """Return one line of JSON: pixels with one decimal, metres with two, scores with three."""
    return json.dumps(_plain(decoded), ensure_ascii=False, separators=(",", ":"))


def _plain(decoded: Decoded) -> dict[str, Any]:
    if isinstance(decoded, Detections):
        return _detections(decoded)
    if isinstance(decoded, Classification):
        pairs = zip(decoded.labels, _list(decoded.scores, 3), strict=True)
        return {
            "kind": "classification",
            "items": [{"label": label, "score": score} for label, score in pairs],
        }
    if isinstance(decoded, SegmentationMask):
        return _segmentation(decoded)
    if isinstance(decoded, TextRegions):
        rows = zip(decoded.texts, _list(decoded.scores, 3), _list(decoded.quads, 1), strict=True)
        return {
            "kind": "text",
            "items": [
                {"text": text, "score": score, "quad": quad}
                if text
                else {"score": score, "quad": quad}
                for text, score, quad in rows
            ],
        }
    if isinstance(decoded, Obstacles):
        found = zip(
            _list(decoded.boxes, 2),
            _list(decoded.heights, 2),
            _list(decoded.distances, 2),
            strict=True,
        )
        return {
            "kind": "obstacles",
            "items": [
                {"box_m": box, "height_m": height, "distance_m": distance}
                for box, height, distance in found
            ],
        }
    if isinstance(decoded, CropResults):
        parts = zip(decoded.boxes.tolist(), decoded.labels, decoded.results, strict=True)
        return {
            "kind": "crops",
            "items": [
                {"box": box, "label": label, "result": _plain(result)}
                for box, label, result in parts
            ],
        }
    if isinstance(decoded, Boxes3D):
        return _boxes_3d(decoded)
    if isinstance(decoded, DepthMap):
        return _depth(decoded)
    if isinstance(decoded, Embedding):
        return {"kind": "embedding", "vector": _list(decoded.vector, 5)}
    return _tensors(decoded)


def _detections(decoded: Detections) -> dict[str, Any]:
    items: list[dict[str, Any]] = [
        {"label": label, "score": score, "box": box}
        for label, score, box in zip(
            decoded.labels, _list(decoded.scores, 3), _list(decoded.boxes, 1), strict=True
        )
    ]
    if decoded.landmarks is not None:
        for item, points in zip(items, _list(decoded.landmarks, 1), strict=True):
            item["landmarks"] = points
    if decoded.landmark_scores is not None:
        for item, scores in zip(items, _list(decoded.landmark_scores, 3), strict=True):
            item["landmark_scores"] = scores
    if decoded.turned is not None:
        for item, (x, y, width, height, angle) in zip(
            items, decoded.turned.astype(np.float64).tolist(), strict=True
        ):
            item["center"] = [round(x, 1), round(y, 1)]
            item["size"] = [
                round(width, 1),
                round(height, 1),
            ]
            item["angle"] = round(angle, 3)
    if decoded.instances is not None:
        areas = np.bincount(decoded.instances.ravel(), minlength=len(items) + 1).tolist()
        for item, area in zip(items, areas[1:], strict=False):
            item["pixels"] = area
    found: dict[str, Any] = {"kind": "detections", "items": items}
    if decoded.landmark_names:
        found["landmark_names"] = list(decoded.landmark_names)
    return found


def _boxes_3d(decoded: Boxes3D) -> dict[str, Any]:
    rows = zip(decoded.labels, _list(decoded.scores, 3), _list(decoded.boxes, 3), strict=True)
    items: list[dict[str, Any]] = [
        {
            "label": label,
            "score": score,
            "center_m": box[:3],
            "size_m": box[3:6],
            "yaw": box[6],
        }
        for label, score, box in rows
    ]
    if decoded.velocities is not None:
        for item, velocity in zip(items, _list(decoded.velocities, 2), strict=True):
            item["velocity"] = velocity
    return {"kind": "boxes_3d", "items": items}


def _depth(decoded: DepthMap) -> dict[str, Any]:
    known = decoded.metres[np.isfinite(decoded.metres)]
    found: dict[str, Any] = {"kind": "depth", "shape": list(decoded.metres.shape)}
    found["known"] = round(known.size / max(1, decoded.metres.size), 4)
    if known.size:
        low, middle, high = np.percentile(known, (0, 50, 100)).tolist()
        found |= {"nearest_m": round(low, 3), "median_m": round(middle, 3)}
        found["farthest_m"] = round(high, 3)
    return found


def _segmentation(decoded: SegmentationMask) -> dict[str, Any]:
    counts = np.bincount(decoded.mask.ravel(), minlength=1)
    total = max(1, decoded.mask.size)
    share = {
        (decoded.labels[index] if index < len(decoded.labels) else f"class {index}"): round(
            float(counts[index]) / total, 4
        )
        for index in np.nonzero(counts)[0].tolist()
    }
    return {"kind": "segmentation", "shape": list(decoded.mask.shape), "share": share}


def _tensors(decoded: RawTensors) -> dict[str, Any]:
    return {
        "kind": "raw",
        "tensors": [
            {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in decoded.tensors.items()
        ],
    }


def _list(array: npt.NDArray[np.float32], digits: int) -> list[Any]:
    bounded = np.clip(array.astype(np.float64), -_LARGEST, _LARGEST)
    result: list[Any] = np.round(bounded, digits).tolist()
    return result
