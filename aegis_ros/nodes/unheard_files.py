"""Reports a file of parameters that has some for other nodes and none for the one that reads it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from rclpy.node import Node

from aegis_ros.config import read_text, read_yaml
from aegis_ros.errors import AegisError
from aegis_ros.rationale.printable import printable

__all__ = ["warn_of_files"]

_FLAG = "--params-file"
_HERE = "ros__parameters"
_SHOWN = 5


def warn_of_files(node: Node) -> None:
    """Warn where nothing of a file on the command line is for this node: its name is misspelled."""
    own = node.get_fully_qualified_name()
    for flag, path in pairwise(sys.argv):
        names = _nodes_in(Path(path)) if flag == _FLAG else []
        if names and not any(_means(each, own) for each in names):
            node.get_logger().warning(
                printable(
                    f"{path} has parameters for {', '.join(names[:_SHOWN])} and none for {own}: "
                    "nothing of it is used"
                )
            )


def _nodes_in(path: Path) -> list[str]:
    """Return the full names, or patterns of them, that a file has parameters for."""
    try:
        values, _ = read_yaml(read_text(path), str(path))
    except AegisError:  # what is wrong with it, ROS has said
        return []
    return [f"/{name.lstrip('/')}" for name in _names(values, "")]


def _names(values: Mapping[Any, Any], before: str) -> Iterator[str]:
    for key, value in values.items():
        if not isinstance(value, Mapping):
            continue
        name = f"{before}/{str(key).strip('/')}"
        if _HERE in value:
            yield name
        yield from _names({k: v for k, v in value.items() if k != _HERE}, name)


def _means(pattern: str, name: str) -> bool:
    """Return whether a pattern, as ``/**/camera``, stands for a node."""
    written = re.escape(pattern).replace(r"/\*\*", "(/[^/]+)*").replace(r"\*", "[^/]+")
    return re.fullmatch(written, name) is not None
