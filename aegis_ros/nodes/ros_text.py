"""Takes out of the texts of ROS's libraries what is of use only to those who wrote them."""

from __future__ import annotations

import re

__all__ = ["plain_ros"]

_SOURCE = re.compile(r"\.?, at /\S+:\d+")  # where in the source of ROS


def plain_ros(text: str) -> str:
    """Return a text of rclpy in one line, without the places in the source of ROS."""
    return _SOURCE.sub("", " ".join(text.split()))
