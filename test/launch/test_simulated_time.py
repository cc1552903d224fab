"""The launch file with `use_sim_time`: what watches the robot goes on while a simulation pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "launch.actions", reason="`ros2 launch`, which the ROS wheels lack: source a ROS 2 installation"
)
pytest.importorskip(
    "launch_ros.actions",
    reason="`ros2 launch`, which the ROS wheels lack: source a ROS 2 installation",
)
pytest.importorskip("rclpy", reason="ROS 2: `make build`, then `make unit`")
pytest.importorskip("aegis_ros.msg", reason="ROS 2: `make build`, then `make unit`")

import rclpy
from aegis_ros.msg import OrchestratorStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.context import Context
from rosgraph_msgs.msg import Clock

from aegis_ros.nodes.conversions import time_from_ns
from aegis_ros.nodes.executor import NodeExecutor

_LAUNCH = Path(__file__).resolve().parents[2] / "launch"
_WAIT_SECONDS = 100.0
_MANY = 5


class _Simulation(threading.Thread):
    """Shows a time on /clock, pauses, and listens to the orchestrator meanwhile."""

    def __init__(self, service: LaunchService) -> None:
        super().__init__(daemon=True)
        self._service = service
        self.statuses: list[OrchestratorStatus] = []
        self.diagnostics: list[DiagnosticArray] = []
        self.paused = ""
        self.problem: BaseException | None = None

    def run(self) -> None:
        context = Context()
        rclpy.init(context=context)
        try:
            self._play(context)
        except BaseException as problem:  # raised again by the test
            self.problem = problem
        finally:
            rclpy.try_shutdown(context=context)
            self._service.shutdown()

    def _play(self, context: Context) -> None:
        node = rclpy.create_node("simulation", context=context)
        node.create_subscription(
            OrchestratorStatus, "/robot1/orchestrator/status", self.statuses.append, 10
        )
        node.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        clock = node.create_publisher(Clock, "/clock", 1)
        executor = NodeExecutor(context=context)
        executor.add_node(node)

        def until(true: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> Any:
            end = time.monotonic() + _WAIT_SECONDS
            while not (found := true()):
                assert time.monotonic() < end, "it did not happen"
                meanwhile()
                executor.spin_once(timeout_sec=0.05)
            return found

        until(lambda: self.statuses and self.statuses[-1].state == "active")
        until(
            lambda: "simulated time 1000.0 s" in self._clock(),
            lambda: clock.publish(Clock(clock=time_from_ns(1000 * 10**9))),
        )
        self.paused = until(lambda: "paused for" in self._clock() and self._clock())
        for heard in (self.statuses, self.diagnostics):
            count = len(heard)
            until(lambda heard=heard, count=count: len(heard) >= count + _MANY)  # type: ignore[misc]

    def _clock(self) -> str:
        entries: list[DiagnosticStatus] = self.diagnostics[-1].status if self.diagnostics else []
        return next((each.message for each in entries if each.name.endswith(": clock")), "")


def test_status_and_diagnostics_go_on_while_the_clock_stands_still(tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], arena_mib: 64, "
        "realtime_priority: 0}\n"
    )
    service = LaunchService(noninteractive=True)
    service.include_launch_description(
        LaunchDescription(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(_LAUNCH / "orchestrator.launch.py")),
                    launch_arguments={
                        "config": str(config),
                        "state_dir": str(tmp_path / "state"),
                        "namespace": "robot1",
                        "use_sim_time": "true",
                    }.items(),
                )
            ]
        )
    )
    simulation = _Simulation(service)
    simulation.start()
    service.run()
    simulation.join(_WAIT_SECONDS)
    if simulation.problem is not None:
        raise simulation.problem
    assert simulation.paused.startswith("simulated time 1000.0 s, paused for")
