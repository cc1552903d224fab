"""The usual ways to run several networks: a node each, a thread each, or one queue.

    python -m benchmarks.stack.usual nodes|threads|queue TASKS_JSON REPLACED.json

Networks, fused preprocessing, pinned core and thread count are those of the orchestrator's lane.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import rclpy
from aegis_ros.msg import InferenceResult
from rclpy.executors import SingleThreadedExecutor
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
        stamp = message.timing.stamped
        stamp.sec, stamp.nanosec = divmod(header.stamp_ns, 1_000_000_000)
        message.timing.response_ms = (time.time_ns() - header.stamp_ns) / 1e6
        message.timing.met = message.timing.response_ms <= self.task["deadline_ms"]
        self._publisher.publish(message)


class Latest:
    """Where one or more networks' latest images wait; first come, first served.

    An image that comes while one of the same network waits takes its place, as in any robot that
    does not want to work on yesterday's images.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._there = threading.Condition()
        self._images: dict[int, tuple[Network, bytes]] = {}
        self.replaced: dict[str, int] = {}

    def put(self, network: Network, raw: bytes) -> None:
        """Leave an image; called by the executor's thread, which does nothing else."""
        with self._there:
            if id(network) in self._images:
                name = network.task["name"]
                self.replaced[name] = self.replaced.get(name, 0) + 1
            self._images[id(network)] = (network, raw)  # keeps its place in the order
            self._there.notify()

    def work(self) -> None:
        """Run what comes, pinned, for ever."""
        pin()
        while True:
            with self._there:
                while not self._images:
                    self._there.wait()
                network, raw = self._images.pop(next(iter(self._images)))
            network.run(raw)


def pin() -> None:
    """Bind the calling thread to the core that stands for the accelerator."""
    os.sched_setaffinity(threading.get_native_id(), {CORE})


def subscribe(node: Node, task: dict[str, Any], take: Callable[[bytes], None]) -> None:
    """Subscribe as cameras are subscribed to: best effort, the latest image."""
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(Image, task["topic"], take, qos, raw=True)


def main() -> None:
    """Run until asked to end; then write how many images newer ones took the place of."""
    way, tasks = sys.argv[1], json.loads(sys.argv[2])
    tune_allocator()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    node = rclpy.create_node(f"usual_{tasks[0]['name']}")
    networks = [Network(node, task) for task in tasks]
    workers: list[Latest] = []
    if way == "nodes":  # one process a network: what the executor's thread does, it does pinned
        pin()
        for network in networks:
            subscribe(node, network.task, network.run)
    else:  # a thread for each network, or one for all; the executor hands over, no more
        common = Latest()
        for network in networks:
            worker = common if way == "queue" else Latest()
            if worker not in workers:
                workers.append(worker)
                threading.Thread(target=worker.work, daemon=True).start()
            subscribe(node, network.task, partial(worker.put, network))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while True:  # as spin does, but a signal is heard where no image comes, too
            executor.spin_once(timeout_sec=0.5)
    except KeyboardInterrupt:
        replaced: dict[str, int] = {}
        for worker in workers:
            replaced |= worker.replaced
        Path(sys.argv[3]).write_text(json.dumps(replaced))


if __name__ == "__main__":
    main()
