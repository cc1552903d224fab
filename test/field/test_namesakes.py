"""The same node is started twice, where no lock can see it: both say so at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor

from aegis_ros.nodes.namesakes import Namesakes

_OWN = ("orchestrator", "/robot")
_HERE, _THERE = b"\x01\x0f\x11\x22", b"\x01\x0f\x33\x44"
_LAST = 6
_WAIT_SECONDS = 60.0


class _Robot:
    """Listens to /diagnostics while orchestrators of one name come and go, each a process."""

    def __init__(self, folder: Path) -> None:
        self.namespace = f"/twins_{os.getpid()}"
        self._folder = folder
        self._context = Context()
        rclpy.init(context=self._context)
        node = rclpy.create_node("observer", context=self._context)
        self._said: list[DiagnosticStatus] = []
        node.create_subscription(DiagnosticArray, "/diagnostics", self._keep, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._processes: list[subprocess.Popen[str]] = []

    def _keep(self, message: DiagnosticArray) -> None:
        name = f"{self.namespace}/orchestrator: name"
        self._said += [each for each in message.status if each.name == name]

    def start(self, name: str, *, autostart: bool = True) -> subprocess.Popen[str]:
        """Start an orchestrator that has a state directory of its own."""
        (self._folder / name).mkdir()
        config = self._folder / "robot.yaml"
        config.write_text(
            "device: {backend: onnxruntime, lanes: [{name: main}], arena_mib: 64, "
            "realtime_priority: 0}\n"
        )
        parameters = {
            "config": config,
            "state_dir": self._folder / name,
            "autostart": str(autostart).lower(),
            "diagnostics_period_s": 0.1,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
            + [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
            + ["-r", f"__ns:={self.namespace}"],
            stderr=(self._folder / f"{name}.log").open("w"),
            text=True,
        )
        self._processes.append(process)
        return process

    def until_all_say(self, level: bytes) -> str:
        """Wait until the next diagnoses of the name are of this level, whoever publishes them."""
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            said = self._said[-_LAST:]
            if len(said) == _LAST and all(each.level == level for each in said):
                self._said.clear()
                return str(said[-1].message)
            assert time.monotonic() < end, self._said[-1:]
            self._executor.spin_once(timeout_sec=0.1)

    def end(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGTERM)
        process.wait(_WAIT_SECONDS)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        rclpy.try_shutdown(context=self._context)


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[_Robot]:
    each = _Robot(tmp_path)
    yield each
    each.close()


def test_both_nodes_of_one_name_report_it_until_one_of_them_is_gone(
    robot: _Robot, tmp_path: Path
) -> None:
    robot.start("first")
    robot.until_all_say(DiagnosticStatus.OK)
    second = robot.start("second")
    said = robot.until_all_say(DiagnosticStatus.ERROR)
    expected = f"another node named {robot.namespace}/orchestrator can be heard on this machine: "
    assert said.startswith(expected)
    robot.end(second)
    robot.until_all_say(DiagnosticStatus.OK)
    for name in ("first", "second"):
        assert (tmp_path / f"{name}.log").read_text().count(expected) == 1, "and in the log, once"


def test_nodes_that_are_not_configured_report_it_as_well(robot: _Robot) -> None:
    for name in ("first", "second"):
        robot.start(name, autostart=False)
    robot.until_all_say(DiagnosticStatus.ERROR)


class _Graph:
    """A node in a graph of others."""

    def __init__(self) -> None:
        self.nodes = [_OWN]
        self.publishers: list[Any] = []
        self.logged: list[tuple[str, str]] = []

    def get_name(self) -> str:
        return _OWN[0]

    def get_namespace(self) -> str:
        return _OWN[1]

    def get_fully_qualified_name(self) -> str:
        return "/".join(reversed(_OWN))

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        return self.nodes

    def resolve_topic_name(self, name: str) -> str:
        return name.replace("~", self.get_fully_qualified_name())

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        assert topic == "/robot/orchestrator/status"
        return self.publishers

    def get_logger(self) -> Any:
        return SimpleNamespace(
            error=lambda text: self.logged.append(("error", text)),
            info=lambda text: self.logged.append(("info", text)),
        )

    def publishes(self, *machines: bytes) -> None:
        self.publishers = [
            SimpleNamespace(
                node_name=_OWN[0], node_namespace=_OWN[1], endpoint_gid=[*machine, *range(12)]
            )
            for machine in machines
        ]


@pytest.mark.parametrize(
    ("machines", "says"),
    [
        ((_HERE, _HERE), "can be heard on this machine: both"),
        ((_HERE, _THERE), "can be heard on another machine: both"),
        ((_HERE,), "can be heard: both"),
    ],
    ids=["the same machine", "another machine", "a node of another kind"],
)
def test_says_where_the_other_one_is_and_once(machines: tuple[bytes, ...], says: str) -> None:
    graph: Any = _Graph()
    watch = Namesakes(graph)
    watch.look()
    assert not watch.problem and not graph.logged
    graph.nodes = [_OWN, ("orchestrator", "/other"), _OWN]
    graph.publishes(*machines)
    watch.look()
    watch.look()
    assert says in watch.problem
    assert graph.logged == [("error", watch.problem)]
    graph.nodes = [_OWN]
    watch.look()
    assert not watch.problem
    assert graph.logged[-1] == ("info", "this is the only node named /robot/orchestrator again")
