"""Measures how long the cameras' images travel here, before anything is declared about it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Float64

from benchmarks.compare.workload import Task
from benchmarks.processes import process, wait
from benchmarks.ros.bare import ANSWER
from benchmarks.stack.workload import WORKLOAD

__all__ = ["seen_transport_ms"]

_PERIOD_MS = 60.0
_FEW = 5
_SPIN_S = 0.05


def seen_transport_ms(folder: Path, seconds: float) -> list[float]:
    """Return milliseconds from stamp to subscriber while a camera of every network sends.

    Args:
        folder: for logs.
        seconds: to look.
    """
    tasks = [
        Task(name, name, f"/stack/{name}", _PERIOD_MS, _PERIOD_MS, "high")
        for name in WORKLOAD.networks
    ]
    node = rclpy.create_node("transport")
    found: list[float] = []
    node.create_subscription(Float64, ANSWER, lambda message: found.append(message.data), 10)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def heard() -> bool:
        executor.spin_once(timeout_sec=_SPIN_S)
        return len(found) > _FEW

    log = folder / "cameras.log"
    values = json.dumps([task.as_values() for task in tasks])
    stamps = str(folder / "stamps.npz")
    with (
        # Ended last: a subscriber that no image reaches does not hear that it is to end.
        process(log, "benchmarks.stack.cameras", values, stamps) as cameras,
        process(folder / "bare.log", "benchmarks.ros.bare", tasks[0].topic),
    ):
        wait(heard, "no images of the cameras", cameras, log=log)
        found.clear()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            executor.spin_once(timeout_sec=_SPIN_S)
    executor.shutdown()
    node.destroy_node()
    if not found:
        raise SystemExit(f"no image arrived within {seconds:g} s")
    return found
