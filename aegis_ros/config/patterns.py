"""What text in a configuration must look like, for programs and for people."""

from __future__ import annotations

__all__ = [
    "DECODER",
    "LANE_OR_NONE",
    "NAME",
    "NAME_OR_NONE",
    "SET_NAME",
    "SHA256",
    "TOPIC_OR_NONE",
    "TRACE_FILE",
    "in_words",
]

NAME = r"^[a-z][a-z0-9_]{0,62}$"
NAME_OR_NONE = r"^([a-z][a-z0-9_]{0,62})?$"
LANE_OR_NONE = r"^([a-z][a-z0-9_]*)?$"
DECODER = r"^[a-z][a-z0-9_]*$"
SET_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"
TOPIC_OR_NONE = r"^[A-Za-z0-9_/~]*$"
SHA256 = r"^([0-9a-fA-F]{64})?$"
TRACE_FILE = r"^([A-Za-z0-9%][A-Za-z0-9%_.-]*\.mcap)?$"

_LETTERS = "lower-case letters, digits and underscores, the first a letter"
_WORDS = {
    NAME: f"at most 63 {_LETTERS}, as front_camera",
    NAME_OR_NONE: f"the name of a task: at most 63 {_LETTERS}",
    LANE_OR_NONE: f"the name of a lane: {_LETTERS}",
    DECODER: f"the name of a decoder: {_LETTERS}",
    SET_NAME: "at most 64 letters, digits, underscores, dots and hyphens, as lane-0",
    TOPIC_OR_NONE: "a ROS topic name, as /camera/image_raw",
    SHA256: "64 hexadecimal digits, as `sha256sum` prints them",
    TRACE_FILE: "the name of a file that ends in .mcap, without folders, as run_%Y%m%d.mcap",
}


def in_words(pattern: str) -> str:
    """Return what text that matches a pattern looks like.

    Raises:
        KeyError: the pattern is none of these.
    """
    return _WORDS[pattern]
