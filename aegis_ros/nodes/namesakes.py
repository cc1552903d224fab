"""Reports another node of the same full name, wherever it runs.

ROS lets two nodes have one name, and then both answer a request, both publish each result, and each
shows the other's parameters. On one machine the lock of the state directory keeps the second from
being configured; the graph shows those that the lock cannot see.
"""

from __future__ import annotations

from rclpy.node import Node

__all__ = ["Namesakes"]

_LOOKS = 5  # the graph may show a node before it shows the publishers that say where it is
_MACHINE = slice(0, 4)  # of a Fast DDS GUID: the vendor's number and that of the machine


class Namesakes:
    """Looks for nodes of the same name, and reports when one comes or the last one goes.

    Args:
        node: the node that should be the only one of its name.

    Attributes:
        problem: what is wrong, empty where nothing is.
    """

    def __init__(self, node: Node) -> None:
        """Look when asked to."""
        self._node = node
        self._times = 0
        self.problem = ""

    def look(self) -> None:
        """Look who is there now."""
        own = (self._node.get_name(), self._node.get_namespace())
        others = self._node.get_node_names_and_namespaces().count(own) - 1
        self._times = self._times + 1 if others > 0 else 0
        if others > 0 and not self.problem:
            where = self._where()
            if where or self._times >= _LOOKS:
                self.problem = self._words(others, where)
                self._node.get_logger().error(self.problem)
        elif others <= 0 and self.problem:
            self.problem = ""
            name = self._node.get_fully_qualified_name()
            self._node.get_logger().info(f"this is the only node named {name} again")

    def _words(self, others: int, where: str) -> str:
        name = self._node.get_fully_qualified_name()
        who = "another node" if others == 1 else f"{others} other nodes"
        return (
            f"{who} named {name} can be heard{where}: both answer requests and publish "
            "results; give one of them another name or namespace (one that was killed is listed "
            "for 20 s more)"
        )

    def _where(self) -> str:
        """Return on which machine the others are; empty where their publishers do not show it."""
        own = (self._node.get_name(), self._node.get_namespace())
        topic = self._node.resolve_topic_name("~/status")
        machines = [
            bytes(each.endpoint_gid)[_MACHINE]
            for each in self._node.get_publishers_info_by_topic(topic)
            if (each.node_name, each.node_namespace) == own
        ]
        if len(machines) < 2:
            return ""
        return " on this machine" if len(set(machines)) == 1 else " on another machine"
