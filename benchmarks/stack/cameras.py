"""Publishes every task's images at its period, from a process of its own.

python -m benchmarks.stack.cameras TASKS_JSON
"""

from __future__ import annotations

import heapq
import json
import sys
import time

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from benchmarks.stack.workload import FRAME


def main() -> None:
    """Publish until killed; prints how many images each topic got, once a second."""
    tasks = json.loads(sys.argv[1])
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("cameras")
    height, width = FRAME
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    image = Image(height=height, width=width, encoding="rgb8", step=width * 3)
    image.data = noise.tobytes()
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    publishers = [node.create_publisher(Image, task["topic"], qos) for task in tasks]
    clock = node.get_clock()
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
        image.header.stamp = clock.now().to_msg()
        publishers[at].publish(image)
        # A camera that was held up does not hurry afterwards.
        following = max(when, time.monotonic() - 0.001) + tasks[at]["period_ms"] / 1e3
        heapq.heapreplace(due, (following, at))


if __name__ == "__main__":
    main()
