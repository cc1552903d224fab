"""Results as messages of vision_msgs."""

from __future__ import annotations

from math import cos, sin
from typing import Any

from std_msgs.msg import Header

from aegis_ros.decoders import Boxes3D, Classification, Detections

__all__ = ["classification", "detections", "detections_3d"]


def detections(messages: Any, header: Header, found: Detections) -> Any:
    """Return a ``Detection2DArray``; ``id`` is the value in the instance mask, where there is one.

    Args:
        messages: module ``vision_msgs.msg``.
        header: of the source frame.
        found: boxes in pixels.
    """
    message = messages.Detection2DArray(header=header)
    for number, (box, score, label) in enumerate(
        zip(found.boxes.tolist(), found.scores.tolist(), found.labels, strict=True), start=1
    ):
        detection = messages.Detection2D(header=header)
        left, top, right, bottom = box
        turned = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, 0.0)
        if found.turned is not None:
            turned = tuple(found.turned[number - 1].tolist())
        place, bbox = detection.bbox.center, detection.bbox
        place.position.x, place.position.y, bbox.size_x, bbox.size_y, place.theta = turned
        detection.results = [_with_pose(messages, label, score)]
        if found.instances is not None:
            detection.id = str(number)
        message.detections.append(detection)
    return message


def detections_3d(messages: Any, header: Header, found: Boxes3D) -> Any:
    """Return a ``Detection3DArray``.

    Args:
        messages: module ``vision_msgs.msg``.
        header: of the source cloud.
        found: boxes in metres.
    """
    message = messages.Detection3DArray(header=header)
    for box, score, label in zip(
        found.boxes.tolist(), found.scores.tolist(), found.labels, strict=True
    ):
        detection = messages.Detection3D(header=header)
        x, y, z, length, width, height, yaw = box
        centre, size = detection.bbox.center, detection.bbox.size
        centre.position.x, centre.position.y, centre.position.z = x, y, z
        centre.orientation.z, centre.orientation.w = sin(yaw / 2), cos(yaw / 2)
        size.x, size.y, size.z = length, width, height
        hypothesis = _with_pose(messages, label, score)
        hypothesis.pose.pose = centre
        detection.results = [hypothesis]
        message.detections.append(detection)
    return message


def classification(messages: Any, header: Header, found: Classification) -> Any:
    """Return a ``Classification``.

    Args:
        messages: module ``vision_msgs.msg``.
        header: of the source frame.
        found: classes, best first.
    """
    message = messages.Classification(header=header)
    message.results = [
        messages.ObjectHypothesis(class_id=label, score=score)
        for label, score in zip(found.labels, found.scores.tolist(), strict=True)
    ]
    return message


def _with_pose(messages: Any, label: str, score: float) -> Any:
    hypothesis = messages.ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = label
    hypothesis.hypothesis.score = score
    return hypothesis
