"""Publishes vision_msgs beside our own results, where that package is installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Header

from aegis_ros.decoders import Classification, Decoded, Detections
from aegis_ros.nodes.companions import companion

__all__ = ["VisionPublisher"]


class VisionPublisher:
    """Publishers are made when the first result of a kind comes; without vision_msgs, never.

    Args:
        node: node to publish with.
        topic: topic of the task's results; ours are ``<topic>/detections`` and
            ``<topic>/classification``.
    """

    def __init__(self, node: Node, topic: str) -> None:
        """Publish nothing yet."""
        self._node = node
        self._topic = topic
        self._messages: Any = (
            import_module("vision_msgs.msg") if find_spec("vision_msgs") is not None else None
        )
        self._publishers: dict[str, Any] = {}

    def prepare(self, header: Header, decoded: Decoded) -> tuple[Any, Any] | None:
        """Return publisher and message of what has a form in vision_msgs."""
        if self._messages is None:
            return None
        if isinstance(decoded, Detections):
            message = self._messages.Detection2DArray(header=header)
            for box, score, label in zip(
                decoded.boxes, decoded.scores, decoded.labels, strict=True
            ):
                detection = self._messages.Detection2D(header=header)
                left, top, right, bottom = (float(value) for value in box)
                detection.bbox.center.position.x = (left + right) / 2
                detection.bbox.center.position.y = (top + bottom) / 2
                detection.bbox.size_x = right - left
                detection.bbox.size_y = bottom - top
                detection.results = [self._hypothesis(label, float(score), pose=True)]
                message.detections.append(detection)
            return self._publisher("detections", message), message
        if isinstance(decoded, Classification):
            message = self._messages.Classification(header=header)
            message.results = [
                self._hypothesis(label, float(score), pose=False)
                for label, score in zip(decoded.labels, decoded.scores, strict=True)
            ]
            return self._publisher("classification", message), message
        return None

    def _hypothesis(self, label: str, score: float, pose: bool) -> Any:
        if not pose:
            return self._messages.ObjectHypothesis(class_id=label, score=score)
        hypothesis = self._messages.ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = label
        hypothesis.hypothesis.score = score
        return hypothesis

    def _publisher(self, name: str, message: Any) -> Any:
        if name not in self._publishers:
            self._publishers[name] = self._node.create_publisher(
                type(message), companion(self._node, self._topic, name), 5
            )
        return self._publishers[name]

    def close(self, node: Node) -> None:
        """Give the publishers back."""
        for publisher in self._publishers.values():
            node.destroy_publisher(publisher)
        self._publishers.clear()
