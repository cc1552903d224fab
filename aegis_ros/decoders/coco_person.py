"""The keypoints of a person as COCO orders them, and which are joined."""

from itertools import pairwise

__all__ = ["BONES", "KEYPOINTS"]

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
_JOINED = (
    "left_ear left_eye nose right_eye right_ear",
    "left_wrist left_elbow left_shoulder right_shoulder right_elbow right_wrist",
    "left_ankle left_knee left_hip right_hip right_knee right_ankle",
    "left_shoulder left_hip",
    "right_shoulder right_hip",
)
BONES = tuple(
    (KEYPOINTS.index(first), KEYPOINTS.index(second))
    for names in (line.split() for line in _JOINED)
    for first, second in pairwise(names)
)
