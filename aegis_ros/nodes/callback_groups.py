"""Has a node forget the publishers and subscriptions that it gave back."""

from __future__ import annotations

from rclpy.node import Node

__all__ = ["forget_destroyed"]


def forget_destroyed(node: Node) -> None:
    """Take what is gone out of the group that callbacks of the node are in by default.

    rclpy adds a weak reference for each subscription and each event of a publisher, and never
    removes one: a node whose tasks come and go would keep more of them for each. What somebody
    still refers to at this moment goes the next time.
    """
    entities = node.default_callback_group.entities
    # Another thread may add one meanwhile: a copy is made at once, and nothing is replaced.
    entities.difference_update([entity for entity in tuple(entities) if entity() is None])
