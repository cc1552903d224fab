"""Writes down what the demo's tasks draw into their frames."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from aegis_ros.demo.overview import contact_sheet
from aegis_ros.msg import OrchestratorStatus

__all__ = ["FrameWriter"]


class FrameWriter:
    """Keeps the latest annotated frame of each task as a picture a person can open.

    Args:
        node: node to subscribe with; its owner spins it.
        folder: for the pictures.
    """

    def __init__(self, node: Node, folder: Path) -> None:
        """Subscribe to nothing yet."""
        self._node = node
        self._folder = folder
        self._written: dict[str, float] = {}
        self._latest: dict[str, np.ndarray] = {}
        self._subscribed: set[str] = set()

    def follow(self, status: OrchestratorStatus) -> None:
        """Subscribe to the annotated frames of all tasks that publish them."""
        for task in status.tasks:
            name, output = task.spec.name, task.spec.output
            if output.annotate and name not in self._subscribed:
                self._subscribed.add(name)
                self._node.create_subscription(
                    Image,
                    f"{output.topic}/annotated",
                    lambda message, name=name: self._write(name, message),
                    qos_profile_sensor_data,
                )

    def _write(self, name: str, message: Image) -> None:
        now = time.monotonic()
        if now - self._written.get(name, -10.0) < 1.0:
            return
        self._written[name] = now
        pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        self._latest[name] = np.ascontiguousarray(pixels[:, :, ::-1])
        cv2.imwrite(str(self._folder / f"{name}.png"), self._latest[name])

    def overview(self) -> Path | None:
        """Put the latest frame of each task on one sheet; return its file, if there is any."""
        if not self._latest:
            return None
        path = self._folder / "overview.png"
        cv2.imwrite(str(path), contact_sheet(dict(sorted(self._latest.items()))))
        return path
