"""Publishes every task's images at its period, from a process of its own.

python -m benchmarks.stack.cameras TASKS_JSON STAMPS.npz [HEIGHT WIDTH]
"""

from __future__ import annotations

import heapq
import json
import os
import signal
import sys
import time
from array import array
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from benchmarks.stack.workload import CORE, FRAME


def main() -> None:
    """Publish until asked to end; then write the stamps of each task's images, nanoseconds."""
    tasks = json.loads(sys.argv[1])
    height, width = (int(text) for text in sys.argv[3:5]) if len(sys.argv) > 3 else FRAME
    elsewhere = os.sched_getaffinity(0) - {CORE}
    if elsewhere:  # cameras are no part of what is compared
        os.sched_setaffinity(0, elsewhere)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("cameras")
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    image = Image(height=height, width=width, encoding="rgb8", step=width * 3)
    image.data = noise.tobytes()
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publishers = [node.create_publisher(Image, task["topic"], qos) for task in tasks]
    stamps = [array("q") for _ in tasks]
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        _publish(tasks, image, publishers, stamps)
    except KeyboardInterrupt:
        names = [task["name"] for task in tasks]
        np.savez(sys.argv[2], **dict(zip(names, map(np.array, stamps), strict=True)))


def _publish(
    tasks: list[dict[str, Any]],
    image: Image,
    publishers: list[Any],
    stamps: list[array[int]],
) -> None:
    begin = time.monotonic()
    # Phases are apart by an irrational part of the period, so that all patterns come by.
    due = [
        (begin + (at * 0.618 % 1.0) * task["period_ms"] / 1e3, at) for at, task in enumerate(tasks)
    ]
    heapq.heapify(due)
    while True:
        when, at = due[0]
        wait = when - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        now = time.time_ns()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(now, 1_000_000_000)
        publishers[at].publish(image)
        stamps[at].append(now)
        # A camera that was held up does not hurry afterwards.
        following = max(when, time.monotonic() - 0.001) + tasks[at]["period_ms"] / 1e3
        heapq.heapreplace(due, (following, at))


if __name__ == "__main__":
    main()
