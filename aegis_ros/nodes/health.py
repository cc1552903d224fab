"""Sends what is diagnosed: through `diagnostic_updater` where installed, else as it would."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from aegis_ros.nodes.diagnostics import Diagnosis
from aegis_ros.nodes.timers import set_period

__all__ = ["UPDATER", "HealthPublisher", "publish_health"]

UPDATER = ("diagnostic_updater.",)  # what the names of its own parameters begin with
_USE_FQN = "diagnostic_updater.use_fqn"
_Read = Callable[[], Iterable[Diagnosis]]


class HealthPublisher(Protocol):
    """What publishes on /diagnostics; for the node to hold."""

    def set_period(self, period_s: float) -> None:
        """Publish in another period from now on."""
        ...


def publish_health(node: Node, read: _Read, period_s: float) -> HealthPublisher:
    """Publish what ``read`` returns on /diagnostics every ``period_s`` seconds.

    The period is of real time: diagnostics go on where a simulation pauses. Their stamps are of the
    node's clock. /diagnostics is shared by all nodes of a robot and often by several robots, so
    names begin with the node's full name, and the hardware id is host and node. With
    `diagnostic_updater`, its own parameters exist too: ``diagnostic_updater.period``, whose
    default is ``period_s``, and ``diagnostic_updater.use_fqn``, which is true.
    """
    try:
        from diagnostic_updater import Updater
    except ImportError:
        return _Publisher(node, read, period_s)
    return _through(Updater, node, read, period_s)


def _steady() -> Clock:
    return Clock(clock_type=ClockType.STEADY_TIME)


def _hardware_id(node: Node) -> str:
    return f"{platform.node()}{node.get_fully_qualified_name()}"


def _named(node: Node, name: str) -> str:
    return f"{node.get_fully_qualified_name()}: {name}"


def _fill(status: Any, diagnosis: Diagnosis, hardware_id: str) -> Any:
    status.level = bytes([diagnosis.level])
    status.message = diagnosis.message
    status.hardware_id = hardware_id
    status.values = [KeyValue(key=key, value=value) for key, value in diagnosis.values.items()]
    return status


class _Publisher:
    def __init__(self, node: Node, read: _Read, period_s: float) -> None:
        self._node = node
        self._read = read
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(period_s, self._publish, clock=_steady())

    def set_period(self, period_s: float) -> None:
        set_period(self._timer, period_s)

    def _publish(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        hardware_id = _hardware_id(self._node)
        for diagnosis in self._read():
            status = DiagnosticStatus(name=_named(self._node, diagnosis.name))
            message.status.append(_fill(status, diagnosis, hardware_id))
        self._publisher.publish(message)


def _through(updater: Any, node: Node, read: _Read, period_s: float) -> HealthPublisher:
    class Follower(updater):  # type: ignore[misc]
        """An updater whose tasks are what is diagnosed at the moment."""

        timer: Timer

        def __init__(self) -> None:
            self._followed: dict[str, Diagnosis] = {}
            super().__init__(node, period_s)
            self.setHardwareID(_hardware_id(node))
            node.set_parameters([Parameter(_USE_FQN, value=True)])
            # Its own timer is on the node's clock, and stops with a simulation.
            node.destroy_timer(self.timer)
            period = node.get_parameter("diagnostic_updater.period").value
            self.timer = node.create_timer(period, self.update, clock=_steady())

        def set_period(self, period_s: float) -> None:
            set_period(self.timer, period_s)

        def update(self) -> None:
            found = {diagnosis.name: diagnosis for diagnosis in read()}
            for name in self._followed.keys() - found.keys():
                self.removeByName(name)
            added = [name for name in found if name not in self._followed]
            self._followed = found
            for name in added:
                self.add(name, self._run)
            super().update()

        def _run(self, status: Any) -> Any:
            return _fill(status, self._followed[status.name], self.hwid)

        def publish(self, statuses: Any) -> None:
            # It would take the node's name alone: its parameter for that was read before we set it.
            message = DiagnosticArray()
            message.header.stamp = node.get_clock().now().to_msg()
            for each in statuses if isinstance(statuses, list) else [statuses]:
                status = DiagnosticStatus(
                    level=each.level,
                    name=_named(node, each.name),
                    message=each.message,
                    hardware_id=each.hardware_id,
                    values=each.values,
                )
                message.status.append(status)
            self.publisher.publish(message)

        def addedTaskCallback(self, task: Any) -> None:
            # It would say OK, "Node starting up", of a task whose diagnosis follows at once and
            # may be an error.
            pass

    return Follower()
