"""Loads on a device of its own, as tasks that run on other lanes while a network is measured."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from aegis_ros.config import parse_task
from aegis_ros.network.heavy import arithmetic_heavy, memory_heavy
from aegis_ros.spec import TaskSpec
from aegis_ros.wcet import Stress

__all__ = ["load_task"]

_WRITERS: Mapping[Stress, Callable[[Path], None]] = {
    Stress.MEMORY: memory_heavy,
    Stress.COMPUTE: arithmetic_heavy,
}


def load_task(stress: Stress, folder: Path) -> TaskSpec:
    """Return a task whose network loads the device that runs it.

    Args:
        stress: what is loaded; not ``none``.
        folder: for its file; a root of models, and created where it is not there.

    Raises:
        OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stress}_load.onnx"
    scratch = folder / f".{os.getpid()}_{path.name}"
    _WRITERS[stress](scratch)
    digest = hashlib.sha256(scratch.read_bytes()).hexdigest()
    scratch.replace(path)  # whoever reads it meanwhile reads a whole file
    task = parse_task(
        {
            "name": f"{stress}_load",
            "model": str(path),
            "sha256": digest,
            "period_ms": 1000,
            "input": {
                "topic": "/load",
                "type": "std_msgs/msg/Float32MultiArray",
                "shape": [1, 1],
            },
            "preprocess": {"layout": "tensor"},
            "output": {"topic": "/load/result"},
        }
    )
    return replace(task, name=f"{stress} load")  # which no task of a file can be called
