"""Publishes every task's images at its period, from a process of its own.

python -m benchmarks.stack.cameras TASKS_JSON STAMPS.npz [HEIGHT WIDTH]
"""

from __future__ import annotations

import json
import signal
import sys
import time
from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import Image

from benchmarks.driver import cameras, paced
from benchmarks.stack.workload import FRAME


def main() -> None:
    """Publish until asked to end; then write the stamps of each task's images, nanoseconds."""
    tasks = json.loads(sys.argv[1])
    height, width = (int(text) for text in sys.argv[3:5]) if len(sys.argv) > 3 else FRAME
    _node, image, publishers = cameras("cameras", tasks, height, width)
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
    for at in paced(tasks):
        now = time.time_ns()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(now, 1_000_000_000)
        publishers[at].publish(image)
        stamps[at].append(now)


if __name__ == "__main__":
    main()
