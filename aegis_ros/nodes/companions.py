"""Names the topics beside a task's results, so that they move together."""

from __future__ import annotations

from rclpy.node import Node

__all__ = ["companion"]


def companion(node: Node, topic: str, name: str) -> str:
    """Return the full name of a topic beside that of results, as ``<topic>/annotated``.

    It follows the topic of the results wherever that is remapped to, unless a rule names the
    companion itself.

    Args:
        node: publishes both.
        topic: declared topic of the results.
        name: of the companion.
    """
    declared = f"{topic}/{name}"
    remapped = str(node.resolve_topic_name(declared))
    if remapped != str(node.resolve_topic_name(declared, only_expand=True)):
        return remapped
    return f"{node.resolve_topic_name(topic)}/{name}"
