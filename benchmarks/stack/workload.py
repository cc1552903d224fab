"""The tasks of the benchmark: five networks on one pinned core, and three more for overload."""

from __future__ import annotations

import os

from benchmarks.compare.models import MODELS, URGENT
from benchmarks.compare.workload import Network, Workload

__all__ = ["CORE", "FRAME", "WORKLOAD"]

FRAME = (480, 640)
# The lane's; AEGIS_BENCH_CORE chooses another where devices interrupt this one.
CORE = int(os.environ.get("AEGIS_BENCH_CORE", "1"))

WORKLOAD = Workload(
    # No period divides another, so that in time every phase of one camera meets all of the others.
    networks={
        URGENT: Network(*MODELS[URGENT], "high", FRAME, period_ms=40.0, deadline_ms=40.0),
        "orientation": Network(
            *MODELS["orientation"], "high", FRAME, period_ms=71.0, deadline_ms=50.0
        ),
        "faces": Network(*MODELS["faces"], "high", FRAME, share=0.43),
        "text_areas": Network(*MODELS["text_areas"], "low", FRAME, share=0.36),
        "text_lines": Network(*MODELS["text_lines"], "low", FRAME, share=0.21),
    },
    # Second cameras: (network, share of what is beyond).
    extras={
        "faces_2": ("faces", 0.41),
        "text_areas_2": ("text_areas", 0.37),
        "text_lines_2": ("text_lines", 0.22),
    },
    urgent=URGENT,
    device={
        "backend": "onnxruntime",
        "lanes": [{"name": "main", "cpu": CORE}],
        "arena_mib": 4096,
        "switch_ms": 0.2,
    },
    core=CORE,
    jitter_ms=12.0,
    publish_ms=6.0,
)
