"""Who has a client of a service, and whether that is enough to be answered.

ROS does not tell a server who sent a request. It does tell which nodes have a client of a service
and, with Fast DDS, whether on this machine; a sender that lies about that is kept out by SROS2 only
(docs/security.md).
"""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from aegis_ros.rationale.rejection import NotAccepted
from aegis_ros.spec import Accept

__all__ = ["Callers"]

# A Fast DDS GUID begins with the vendor's number and that of the machine (RTPS 2.5, 9.3.1).
_FAST_DDS = b"\x01\x0f"
_MACHINE = slice(0, 4)
_SHOWN = 5


class Callers:
    """Judges requests to the services of a node by the clients that these have.

    Args:
        node: has the services, below its own name.
        accept: returns what the configuration says.
    """

    def __init__(self, node: Node, accept: Callable[[], Accept]) -> None:
        """Ask nothing yet."""
        self._node = node
        self._accept = accept

    def refusal(self, service: str, task: str) -> NotAccepted | None:
        """Return why a request is not answered; ``None`` where it is.

        Args:
            service: name of the service, without that of the node.
            task: what is asked about, for the answer.
        """
        accept = self._accept()
        if accept is Accept.ALL:
            return None
        if accept is Accept.NONE:
            return NotAccepted(task[:64], str(accept))
        here, elsewhere = self._clients(service)
        if elsewhere or not here:
            return NotAccepted(task[:64], str(accept), tuple(elsewhere[:_SHOWN]) or ("unknown",))
        return None

    def describe(self, service: str) -> str:
        """Return who may have asked, for the audit log."""
        here, elsewhere = self._clients(service)
        names = [*here, *(f"{name} (another machine)" for name in elsewhere)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        listed = ", ".join(names[:_SHOWN]) or "no node that is known"
        return f"service {service}; its clients: {listed}{more}"

    def _clients(self, service: str) -> tuple[list[str], list[str]]:
        """Return the nodes with a client of a service: on this machine, and elsewhere."""
        topic = f"rq{self._node.resolve_service_name(f'~/{service}')}Request"
        servers = self._node.get_subscriptions_info_by_topic(topic, no_mangle=True)
        machines = {
            bytes(each.endpoint_gid)[_MACHINE]
            for each in servers
            if each.node_name == self._node.get_name()
            and each.node_namespace == self._node.get_namespace()
        }
        here: list[str] = []
        elsewhere: list[str] = []
        for each in self._node.get_publishers_info_by_topic(topic, no_mangle=True):
            machine = bytes(each.endpoint_gid)[_MACHINE]
            name = f"{each.node_namespace.rstrip('/')}/{each.node_name}"
            known = machine[:2] == _FAST_DDS and machine in machines
            (here if known else elsewhere).append(name)
        return sorted(set(here)), sorted(set(elsewhere))
