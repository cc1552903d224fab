"""How the families of networks want their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["RECIPES", "SIZES", "Recipe"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Preprocessing that a family of networks was trained with.

    Attributes:
        family: whose it is.
        keys: of ``preprocess`` that differ from their defaults.
    """

    family: str
    keys: Mapping[str, object]


_BYTE = 0.00392156862745098  # 1 / 255
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

RECIPES = {
    "yolo": Recipe("YOLO", {"resize": "letterbox", "scale": _BYTE}),
    "unit": Recipe("networks that take 0..1", {"scale": _BYTE}),
    "unit_bgr": Recipe("FastestDet", {"color": "bgr", "scale": _BYTE}),
    "yolox": Recipe("YOLOX", {"color": "bgr", "resize": "letterbox"}),
    "nanodet": Recipe(
        "NanoDet",
        {"color": "bgr", "mean": [103.53, 116.28, 123.675], "std": [57.375, 57.12, 58.395]},
    ),
    "centernet": Recipe(
        "CenterNet",
        {
            "color": "bgr",
            "resize": "letterbox",
            "pad": 0,
            "scale": _BYTE,
            "mean": [0.408, 0.447, 0.47],
            "std": [0.289, 0.274, 0.278],
        },
    ),
    "ssd": Recipe("SSD", {"mean": [127.0], "std": [128.0]}),
    "imagenet": Recipe("networks trained on ImageNet", {"scale": _BYTE, **_IMAGENET}),
    "paddle": Recipe("PaddleOCR", {"color": "bgr", "scale": _BYTE, **_IMAGENET}),
    "paddle_text": Recipe(
        "PaddleOCR",
        {
            "color": "bgr",
            "resize": "letterbox",
            "pad": 127,
            "scale": _BYTE,
            "mean": [0.5],
            "std": [0.5],
        },
    ),
    "bytes": Recipe("networks that take 0..255", {}),
}

# Height and width that networks with these decoders usually take, where their file says nothing.
SIZES = {
    "classification": (224, 224),
    "embedding": (224, 224),
    "single_pose": (256, 192),
    "text": (48, 320),
}
