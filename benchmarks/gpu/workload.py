"""Five networks, fed with frames of the size they compute on; their periods follow from a load."""

from __future__ import annotations

from typing import Any

from benchmarks.compare.models import MODELS, URGENT
from benchmarks.compare.workload import Network, Workload

__all__ = ["workload"]

_FRAMES = {
    URGENT: (48, 192),
    "orientation": (224, 224),
    "faces": (480, 640),
    "text_areas": (384, 512),
    "text_lines": (48, 320),
}
_LARGE = ("faces", "text_areas")
_SHARES = {
    URGENT: 0.02,
    "orientation": 0.04,
    "faces": 0.44,
    "text_areas": 0.32,
    "text_lines": 0.18,
}
_IMPATIENT = (URGENT, "orientation")


def workload(device: dict[str, Any], core: int | None, scale: int) -> Workload:
    """Return the networks on a device.

    Args:
        device: section ``device`` of the configuration.
        core: processor core of the lane; ``None`` for none.
        scale: how many times as wide and as high the frames of the large networks are.
    """
    networks = {}
    for name, (model, preprocess) in MODELS.items():
        height, width = (each * (scale if name in _LARGE else 1) for each in _FRAMES[name])
        networks[name] = Network(
            model,
            {**preprocess, "size": [height, width]},
            "high" if name in (*_IMPATIENT, "faces") else "low",
            (height, width),
            share=_SHARES[name],
            patient=name not in _IMPATIENT,
        )
    return Workload(
        networks,
        {"faces_2": ("faces", 0.5), "text_areas_2": ("text_areas", 0.5)},
        URGENT,
        device,
        core,
        jitter_ms=2.0,  # the cameras are a thread of a Python process
        publish_ms=0.5,
    )
