"""Who has a client of a service, and whether that is enough to be answered.

ROS does not tell a server who sent a request. It does tell which nodes have a client of a service
and, with Fast DDS, whether on this machine; a sender that lies about that is kept out by SROS2 only
(docs/security.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rclpy.node import Node

from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.rejection import NotAccepted
from aegis_ros.spec import Accept

__all__ = ["Callers"]

# A Fast DDS GUID begins with the vendor's number and that of the machine (RTPS 2.5, 9.3.1).
_FAST_DDS = b"\x01\x0f"
_MACHINE = slice(0, 4)
_PARTICIPANT = slice(0, 12)
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
        clients = self._clients(service)
        elsewhere = sorted({each.name for each in clients if not each.here})
        if elsewhere or not clients:
            return NotAccepted(task[:64], str(accept), tuple(elsewhere[:_SHOWN]) or ("unknown",))
        return None

    def participants(self, service: str) -> frozenset[str]:
        """Return the participants that have a client of a service, one a process.

        Args:
            service: name of the service, without that of the node.
        """
        return frozenset(each.participant for each in self._clients(service))

    def describe(self, service: str) -> str:
        """Return who may have asked, for the audit log: nodes, their participants and enclaves."""
        enclaves: dict[str, set[str]] = {}  # of all nodes of a name: one may have taken another's
        for node, namespace, enclave in self._node.get_node_names_and_namespaces_with_enclaves():
            enclaves.setdefault(_name(node, namespace), set()).add(enclave)
        clients = sorted(
            f"{each.name} ({each.described(enclaves.get(each.name, set()))})"
            for each in self._clients(service)
        )
        more = f" and {len(clients) - _SHOWN} more" if len(clients) > _SHOWN else ""
        listed = ", ".join(clients[:_SHOWN]) or "no node that is known"
        return printable(f"service {service}; its clients: {listed}{more}")

    def _clients(self, service: str) -> set[_Client]:
        """Return the nodes with a client of a service."""
        topic = f"rq{self._node.resolve_service_name(f'~/{service}')}Request"
        servers = self._node.get_subscriptions_info_by_topic(topic, no_mangle=True)
        machines = {
            bytes(each.endpoint_gid)[_MACHINE]
            for each in servers
            if each.node_name == self._node.get_name()
            and each.node_namespace == self._node.get_namespace()
        }
        found = set()
        for each in self._node.get_publishers_info_by_topic(topic, no_mangle=True):
            guid = bytes(each.endpoint_gid)
            known = guid[:2] == _FAST_DDS and guid[_MACHINE] in machines
            name = _name(each.node_name, each.node_namespace)
            found.add(_Client(name, guid[_PARTICIPANT].hex(), known))
        return found


@dataclass(frozen=True, slots=True)
class _Client:
    """A node with a client of a service.

    Attributes:
        name: full name of the node, as it says.
        participant: its participant's part of the GUID, in hex: one for each process.
        here: whether it runs on this machine, as it says.
    """

    name: str
    participant: str
    here: bool

    def described(self, enclaves: set[str]) -> str:
        """Return what is known besides its name; ``/`` is the enclave of who has none."""
        parts = [self.participant]
        if enclaves - {"/"}:
            parts.append(f"enclave {' or '.join(sorted(enclaves))}")
        if not self.here:
            parts.append("another machine")
        return ", ".join(parts)


def _name(node: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{node}"
