"""How diagnoses reach /diagnostics, with `diagnostic_updater` and without."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from aegis_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnosis
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.health import publish_health

_ENGINE = Diagnosis("engine", OK, "running", {"pid": "7"})
_FRONT = Diagnosis("task front", ERROR, "3 of 4 results were late", {"missed": "3", "lost": "0"})
_REAR = Diagnosis("task rear", WARN, "/rear has no publisher", {"missed": "0"})
_PERIOD_S = 0.02


class _Updater:
    """As much of `diagnostic_updater.Updater` as matters here, and as careless."""

    def __init__(self, node: Node, period: float = 1.0) -> None:
        self.node = node
        self.hwid = ""
        self.tasks: list[tuple[str, Callable[[Any], Any]]] = []
        self.publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        declared = node.declare_parameter("diagnostic_updater.period", period).value
        node.declare_parameter("diagnostic_updater.use_fqn", False)
        self.timer = node.create_timer(declared, self.update)

    def setHardwareID(self, hwid: str) -> None:
        self.hwid = hwid

    def add(self, name: str, run: Callable[[Any], Any]) -> None:
        self.tasks.append((name, run))
        self.addedTaskCallback(name)

    def addedTaskCallback(self, task: str) -> None:
        self.publish(DiagnosticStatus(name=task, message="Node starting up"))

    def removeByName(self, name: str) -> bool:
        kept = [task for task in self.tasks if task[0] != name]
        found = len(kept) < len(self.tasks)
        self.tasks = kept
        return found

    def update(self) -> None:
        level = DiagnosticStatus.ERROR
        self.publish(
            [run(DiagnosticStatus(name=name, level=level, message="-")) for name, run in self.tasks]
        )

    def publish(self, msg: Any) -> None:
        statuses = msg if isinstance(msg, list) else [msg]
        for status in statuses:
            status.name = f"{self.node.get_name()}: {status.name}"
        message = DiagnosticArray(status=statuses)
        message.header.stamp = self.node.get_clock().now().to_msg()
        self.publisher.publish(message)


@pytest.fixture(params=["with the updater", "without it"])
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without it":
        monkeypatch.setitem(sys.modules, "diagnostic_updater", None)
    else:
        module = ModuleType("diagnostic_updater")
        module.Updater = _Updater  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "diagnostic_updater", module)


class _Robot:
    """A node that reports its health, and everything it reported."""

    def __init__(self, context: Context, simulated: bool, period_s: float) -> None:
        self.health: tuple[Diagnosis, ...] = ()
        self.heard: list[DiagnosticArray] = []
        clock = Parameter("use_sim_time", value=simulated)
        self.node = Node("robot", namespace="left", context=context, parameter_overrides=[clock])
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self.heard.append, 100)
        self.publisher = publish_health(self.node, lambda: self.health, period_s)
        self._executor = NodeExecutor(context=context)
        self._executor.add_node(self.node)

    def tell(self, *health: Diagnosis) -> list[DiagnosticStatus]:
        """Change the health and return the first statuses that came after two more were heard."""
        self.health = health
        self.heard.clear()
        for _ in range(1000):
            self._executor.spin_once(timeout_sec=0.1)
            if len(self.heard) >= 3:
                return list(self.heard[-1].status)
        raise AssertionError("nothing was published")

    def close(self) -> None:
        self._executor.shutdown()
        self.node.destroy_node()


@contextmanager
def _robot(simulated: bool = False, period_s: float = _PERIOD_S) -> Iterator[_Robot]:
    context = Context()
    rclpy.init(context=context)
    robot = _Robot(context, simulated, period_s)
    try:
        yield robot
    finally:
        robot.close()
        rclpy.try_shutdown(context=context)


@pytest.mark.usefixtures("installed")
def test_name_level_message_and_values_are_the_same_either_way() -> None:
    with _robot() as robot:
        engine, front = robot.tell(_ENGINE, _FRONT)
    assert [engine.name, front.name] == ["/left/robot: engine", "/left/robot: task front"]
    assert [engine.level, front.level] == [DiagnosticStatus.OK, DiagnosticStatus.ERROR]
    assert front.message == "3 of 4 results were late"
    assert {each.key: each.value for each in front.values} == {"missed": "3", "lost": "0"}


@pytest.mark.usefixtures("installed")
def test_the_hardware_is_the_host_and_the_node_so_that_two_robots_differ() -> None:
    with _robot() as robot:
        (engine,) = robot.tell(_ENGINE)
    assert engine.hardware_id == f"{platform.node()}/left/robot"


@pytest.mark.usefixtures("installed")
def test_tasks_come_change_and_go() -> None:
    with _robot() as robot:
        assert robot.tell() == []
        assert len(robot.tell(_ENGINE, _FRONT)) == 2
        better = Diagnosis("task front", OK, "20.0 results a second")
        reported = {each.name: each.level for each in robot.tell(_ENGINE, better, _REAR)}
        assert reported == {
            "/left/robot: engine": b"\0",
            "/left/robot: task front": b"\0",
            "/left/robot: task rear": b"\1",
        }
        assert [each.name for each in robot.tell(_ENGINE)] == ["/left/robot: engine"]
        assert robot.tell() == []


@pytest.mark.usefixtures("installed")
def test_a_task_that_comes_broken_is_never_called_fine() -> None:
    with _robot() as robot:
        robot.tell(_ENGINE)
        robot.tell(_ENGINE, _FRONT)
        front = [s for m in robot.heard for s in m.status if s.name.endswith("task front")]
    assert front and {each.level for each in front} == {DiagnosticStatus.ERROR}


@pytest.mark.usefixtures("installed")
def test_another_period_counts_at_once() -> None:
    with _robot(period_s=3600.0) as robot:
        robot.publisher.set_period(_PERIOD_S)
        assert robot.tell(_ENGINE)


@pytest.mark.usefixtures("installed")
def test_health_is_told_while_a_simulation_stands_still() -> None:
    with _robot(simulated=True) as robot:
        (engine,) = robot.tell(_ENGINE)
    assert engine.message == "running"
