"""From a task's specification back to the mapping it is declared by."""

from __future__ import annotations

from typing import Any

from aegis_ros.spec import TaskSpec

__all__ = ["task_to_mapping"]


def task_to_mapping(task: TaskSpec) -> dict[str, Any]:
    """Return the mapping that :func:`parse_task` turns into an equal spec."""
    pre = task.preprocess
    return {
        "name": task.name,
        "model": task.model,
        "input": {
            "topic": task.input.topic,
            "type": task.input.type,
            "qos": task.input.qos,
            "max_size": list(task.input.max_size),
            "max_points": task.input.max_points,
        },
        "preprocess": {
            "size": list(pre.size) if pre.size else None,
            "color": str(pre.color),
            "layout": str(pre.layout),
            "scale": pre.scale,
            "mean": list(pre.mean),
            "std": list(pre.std),
            "resize": str(pre.resize),
            "pad": pre.pad,
            "interpolation": str(pre.interpolation),
            "dtype": pre.dtype,
            "input_name": pre.input_name,
        },
        "period_ms": task.period_ns / 1e6,
        "deadline_ms": task.deadline_ns / 1e6,
        "jitter_ms": task.jitter_ns / 1e6,
        "criticality": str(task.criticality),
        "on_overrun": str(task.on_overrun),
        "early_exit": dict(task.early_exit),
        "queue": task.queue,
        "lane": task.lane,
        "sha256": task.sha256,
        "wcet_ms": task.wcet_ns / 1e6,
        "segments": task.segments or "auto",
        "dimensions": dict(task.dimensions),
        "enabled": task.enabled,
        "thin_to": task.thin_to,
        "output": {
            "topic": task.output.topic,
            "decoder": task.output.decoder,
            "options": dict(task.output.options),
            "annotate": task.output.annotate,
            "tensors": task.output.tensors,
            "publish_ms": task.output.publish_ns / 1e6,
            "constant_latency_ms": task.output.constant_latency_ns / 1e6,
        },
    }
