"""Sends what is diagnosed: through `diagnostic_updater` where installed, else as it would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer

from aegis_ros.nodes.diagnostics import Diagnosis

__all__ = ["Health", "publish_health"]

_NO_DEVICE = "none"


@dataclass(frozen=True, slots=True)
class Health:
    """What the node says of itself at one moment."""

    diagnoses: tuple[Diagnosis, ...] = ()
    device: str = ""


def publish_health(node: Node, read: Callable[[], Health], period_s: float) -> object:
    """Publish what ``read`` returns on /diagnostics every ``period_s`` seconds.

    The period is of real time: diagnostics go on where a simulation pauses. Their stamps are of the
    node's clock. Names are prefixed with the node's name; the device is the hardware id. With
    `diagnostic_updater`, its own parameters exist too: ``diagnostic_updater.period``, whose
    default is ``period_s``, and ``diagnostic_updater.use_fqn``, which prefixes the namespace.

    Returns:
        What publishes; for the node to hold.
    """
    try:
        from diagnostic_updater import Updater
    except ImportError:
        return _Publisher(node, read, period_s)
    return _through(Updater, node, read, period_s)


def _steady() -> Clock:
    return Clock(clock_type=ClockType.STEADY_TIME)


def _fill(status: Any, diagnosis: Diagnosis, device: str) -> Any:
    status.level = bytes([diagnosis.level])
    status.message = diagnosis.message
    status.hardware_id = device or _NO_DEVICE
    status.values = [KeyValue(key=key, value=value) for key, value in diagnosis.values.items()]
    return status


class _Publisher:
    def __init__(self, node: Node, read: Callable[[], Health], period_s: float) -> None:
        self._node = node
        self._read = read
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(period_s, self._publish, clock=_steady())

    def _publish(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        health = self._read()
        for diagnosis in health.diagnoses:
            status = DiagnosticStatus(name=f"{self._node.get_name()}: {diagnosis.name}")
            message.status.append(_fill(status, diagnosis, health.device))
        self._publisher.publish(message)


def _through(updater: Any, node: Node, read: Callable[[], Health], period_s: float) -> object:
    class Follower(updater):  # type: ignore[misc]
        """An updater whose tasks are what is diagnosed at the moment."""

        timer: Timer

        def __init__(self) -> None:
            self._followed: dict[str, Diagnosis] = {}
            super().__init__(node, period_s)
            self.setHardwareID(_NO_DEVICE)
            # Its own timer is on the node's clock, and stops with a simulation.
            node.destroy_timer(self.timer)
            period = node.get_parameter("diagnostic_updater.period").value
            self.timer = node.create_timer(period, self.update, clock=_steady())

        def update(self) -> None:
            health = read()
            found = {diagnosis.name: diagnosis for diagnosis in health.diagnoses}
            for name in self._followed.keys() - found.keys():
                self.removeByName(name)
            added = [name for name in found if name not in self._followed]
            self._followed = found
            self.setHardwareID(health.device or _NO_DEVICE)
            for name in added:
                self.add(name, self._run)
            super().update()

        def _run(self, status: Any) -> Any:
            return _fill(status, self._followed[status.name], self.hwid)

        def addedTaskCallback(self, task: Any) -> None:
            # It would say OK, "Node starting up", of a task whose diagnosis follows at once and
            # may be an error.
            pass

    return Follower()
