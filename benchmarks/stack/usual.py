"""The usual ways to run several networks: a node each, a thread each, or one queue.

    python -m benchmarks.stack.usual nodes|threads|queue TASKS_JSON

Networks, fused preprocessing, pinned core and thread count are those of the orchestrator's lane.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import rclpy
from aegis_ros.msg import InferenceResult
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from aegis_ros.nodes import cdr
from aegis_ros.nodes.allocator import tune_allocator
from benchmarks.stack.workload import CORE


class Network:
    """One network with its publisher."""

    def __init__(self, node: Node, task: dict[str, Any]) -> None:
        """Load it."""
        self.task = task
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(task["path"], options)
        self._publisher = node.create_publisher(InferenceResult, f"{task['topic']}/result", 10)

    def run(self, raw: bytes) -> None:
        """Run the network on a serialised image and publish when it was done."""
        reader = cdr.Reader(raw)
        header = cdr.read_header(reader)
        image = cdr.read_image(reader, header)
        frame = np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 3)
        began = time.monotonic_ns()
        self._session.run(None, {"frame": frame})
        message = InferenceResult(task=self.task["name"])
        message.timing.execution_ms = (time.monotonic_ns() - began) / 1e6
        message.timing.response_ms = (time.time_ns() - header.stamp_ns) / 1e6
        message.timing.met = message.timing.response_ms <= self.task["deadline_ms"]
        self._publisher.publish(message)


def pin() -> None:
    """Bind the calling thread to the core that stands for the accelerator."""
    os.sched_setaffinity(threading.get_native_id(), {CORE})


def subscribe(node: Node, task: dict[str, Any], take: Callable[[bytes], None]) -> None:
    """Subscribe as cameras are subscribed to: best effort, the latest image."""
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    group = MutuallyExclusiveCallbackGroup()
    node.create_subscription(Image, task["topic"], take, qos, raw=True, callback_group=group)


def main() -> None:
    """Run until killed."""
    way, tasks = sys.argv[1], json.loads(sys.argv[2])
    tune_allocator()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f"usual_{tasks[0]['name']}")
    networks = [Network(node, task) for task in tasks]
    if way == "nodes":  # one process a network: what the executor's thread does, it does pinned
        pin()
        for network in networks:
            subscribe(node, network.task, network.run)
        rclpy.spin(node)
    elif way == "threads":  # a thread a network, as a multi-threaded executor gives
        pinned = threading.local()

        def run_pinned(network: Network, raw: bytes) -> None:
            if not hasattr(pinned, "done"):
                pin()
                pinned.done = True
            network.run(raw)

        for network in networks:
            subscribe(node, network.task, lambda raw, network=network: run_pinned(network, raw))
        executor = MultiThreadedExecutor(len(networks) + 1)
        executor.add_node(node)
        executor.spin()
    else:  # one worker, first come first served
        waiting: queue.Queue[tuple[Network, bytes]] = queue.Queue()

        def work() -> None:
            pin()
            while True:
                network, raw = waiting.get()
                network.run(raw)

        threading.Thread(target=work, daemon=True).start()
        for network in networks:
            subscribe(node, network.task, lambda raw, network=network: waiting.put((network, raw)))
        rclpy.spin(node)


if __name__ == "__main__":
    main()
