"""What the camera processes of the benchmarks share: their core, their image and their pace."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from benchmarks.stack.workload import CORE

__all__ = ["cameras", "paced"]


def cameras(
    name: str, tasks: Sequence[dict[str, Any]], height: int, width: int
) -> tuple[Node, Image, list[Any]]:
    """Begin ROS off the lane's core; return a node, an image of noise, a publisher for each task.

    Args:
        name: of the node.
        tasks: with the topic of each.
        height: of the image, pixels.
        width: of the image, pixels.
    """
    elsewhere = os.sched_getaffinity(0) - {CORE}
    if elsewhere:  # cameras are no part of what is measured
        os.sched_setaffinity(0, elsewhere)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name)
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    image = Image(height=height, width=width, encoding="rgb8", step=width * 3)
    image.data = noise.tobytes()
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    return node, image, [node.create_publisher(Image, task["topic"], qos) for task in tasks]


def paced(tasks: Sequence[dict[str, Any]]) -> Iterator[int]:
    """Yield for ever the index of the task whose image is due, at its time.

    Args:
        tasks: with the period of each, milliseconds.
    """
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
        yield at
        # A camera that was held up does not hurry afterwards.
        following = max(when, time.monotonic() - 0.001) + tasks[at]["period_ms"] / 1e3
        heapq.heapreplace(due, (following, at))
