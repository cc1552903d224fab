"""Reports parameters that a node was given and does not have, which ROS ignores without a word."""

from __future__ import annotations

from collections.abc import Sequence

from rclpy.node import Node

from aegis_ros.config.mistakes import suggest
from aegis_ros.rationale.printable import printable

__all__ = ["warn_of_unknown"]

# Declared by rclpy once the node follows /clock.
_LATER = ("qos_overrides./clock.",)
_OF_RCLPY = ("qos_overrides.", "start_type_description_service")
_SHOWN = 10


def warn_of_unknown(node: Node, later: Sequence[str] = ()) -> None:
    """Warn of parameters that were given, on the command line or in a file, and are not declared.

    They may be meant for others, as all that a file gives to ``/**`` are: nothing is refused.

    Args:
        node: has declared its own.
        later: what names of parameters begin with that are declared afterwards.
    """
    known = [each for each in _declared(node) if not each.startswith(_OF_RCLPY)]
    # rclpy has no public way to them but to declare them all, and then they would look accepted.
    given = node._parameter_overrides
    unknown = sorted(
        name
        for name in given
        if not node.has_parameter(name) and not name.startswith((*_LATER, *later))
    )
    if not unknown:
        return
    named = ", ".join(f"{name}{suggest(name, known)}" for name in unknown[:_SHOWN])
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    node.get_logger().warning(
        printable(
            f"{node.get_name()} has no parameter {named}{more}: what was given is ignored; "
            f"it has {', '.join(known)}"
        )
    )


def _declared(node: Node) -> list[str]:
    return sorted(node.list_parameters([], 0).names)
