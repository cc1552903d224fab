"""Stands in for ``vision_msgs.msg`` where that package is not installed; fields as in its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from geometry_msgs.msg import Pose, PoseWithCovariance, Vector3
from std_msgs.msg import Header

__all__ = [
    "Classification",
    "Detection2D",
    "Detection2DArray",
    "Detection3D",
    "Detection3DArray",
    "ObjectHypothesis",
    "ObjectHypothesisWithPose",
]


@dataclass(slots=True)
class Point2D:
    x: float = 0.0
    y: float = 0.0


@dataclass(slots=True)
class Pose2D:
    position: Point2D = field(default_factory=Point2D)
    theta: float = 0.0


@dataclass(slots=True)
class BoundingBox2D:
    center: Pose2D = field(default_factory=Pose2D)
    size_x: float = 0.0
    size_y: float = 0.0


@dataclass(slots=True)
class BoundingBox3D:
    center: Pose = field(default_factory=Pose)
    size: Vector3 = field(default_factory=Vector3)


@dataclass(slots=True)
class ObjectHypothesis:
    class_id: str = ""
    score: float = 0.0


@dataclass(slots=True)
class ObjectHypothesisWithPose:
    hypothesis: ObjectHypothesis = field(default_factory=ObjectHypothesis)
    pose: PoseWithCovariance = field(default_factory=PoseWithCovariance)


@dataclass(slots=True)
class Detection2D:
    header: Header = field(default_factory=Header)
    results: list[Any] = field(default_factory=list)
    bbox: BoundingBox2D = field(default_factory=BoundingBox2D)
    id: str = ""


@dataclass(slots=True)
class Detection2DArray:
    header: Header = field(default_factory=Header)
    detections: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Detection3D:
    header: Header = field(default_factory=Header)
    results: list[Any] = field(default_factory=list)
    bbox: BoundingBox3D = field(default_factory=BoundingBox3D)
    id: str = ""


@dataclass(slots=True)
class Detection3DArray:
    header: Header = field(default_factory=Header)
    detections: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Classification:
    header: Header = field(default_factory=Header)
    results: list[Any] = field(default_factory=list)
