"""Loads as tasks that run on other lanes while a network is measured."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
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
# One core computes a hundredth of what a GPU does: a run is to end soon after it is asked to.
_OF_CORE: Mapping[Stress, Callable[[Path], None]] = {
    Stress.MEMORY: partial(memory_heavy, passes=1),
    Stress.COMPUTE: partial(arithmetic_heavy, rows=256, width=256),
}


def load_task(stress: Stress, folder: Path, *, of_core: bool = False) -> TaskSpec:
    """Return a task whose network loads the device that runs it.

    Args:
        stress: what is loaded; not ``none``.
        folder: for its file; a root of models, and created where it is not there.
        of_core: whether one core is loaded, and not a GPU.

    Raises:
        OSError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stress}_load{'_of_core' if of_core else ''}.onnx"
    scratch = folder / f".{os.getpid()}_{path.name}"
    (_OF_CORE if of_core else _WRITERS)[stress](scratch)
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
