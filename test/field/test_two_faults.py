"""Two things go wrong at once: a part is killed while another one does not do what it should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus, Rationale
from aegis_ros.srv import ListModels, RegisterModel
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from aegis_ros.nodes.executor import NodeExecutor
from benchmarks.soak.small_disk import SmallDisk, small_disk
from test.network.builders import identity_network
from test.nodes.system import SIZE, System, running

_WAIT_SECONDS = 100.0
_DISK_MIB = 16


# -- the node is killed while its disk is full ----------------------------------------------------


class _Killed:
    """An orchestrator in a process of its own, that may be killed, and who listens to it."""

    def __init__(self, folder: Path, disk: SmallDisk) -> None:
        self.namespace = f"/killed_{os.getpid()}"
        self.traces = (
            disk.path / "state" / "nodes" / f"{self.namespace[1:]}.orchestrator" / "traces"
        )
        self.disk = disk
        model = identity_network(folder / "identity.onnx", (1, 3, *SIZE))
        self._config = folder / "robot.yaml"
        self._config.write_text(
            "device: {backend: onnxruntime, lanes: [{name: main}], arena_mib: 256, "
            "realtime_priority: 0}\n"
            f"models: {{roots: ['{folder}']}}\ntrace: {{file: run_%H%M%S.mcap}}\n"
            f"tasks:\n  - {{name: eye, model: '{model}', period_ms: 50, wcet_ms: 1,\n"
            f"     input: {{topic: {self.namespace}/image, max_size: [64, 64]}},\n"
            f"     preprocess: {{size: {list(SIZE)}}},\n"
            f"     output: {{topic: {self.namespace}/result}}}}\n"
        )
        self._log = folder / "log"
        self._node: subprocess.Popen[bytes] | None = None
        self._context = Context()
        rclpy.init(context=self._context)
        robot = rclpy.create_node("robot", context=self._context)
        of = f"{self.namespace}/orchestrator"
        deep = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        robot.create_subscription(Rationale, f"{of}/rationale", self._told, deep)
        robot.create_subscription(OrchestratorStatus, f"{of}/status", self._status, 10)
        robot.create_subscription(InferenceResult, f"{self.namespace}/result", self._result, 10)
        self._camera = robot.create_publisher(Image, f"{self.namespace}/image", 1)
        self._robot = robot
        self._executor = NodeExecutor(context=self._context)
        self._executor.add_node(robot)
        self.kinds: list[str] = []
        self.results = 0
        self._active = False

    def _told(self, message: Rationale) -> None:
        self.kinds.append(message.kind)

    def _status(self, message: OrchestratorStatus) -> None:
        self._active = message.state == "active"

    def _result(self, message: InferenceResult) -> None:
        self.results += 1

    def start(self) -> None:
        command = [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
        command += ["-p", f"config:={self._config}", "-p", f"state_dir:={self.disk.path / 'state'}"]
        command += ["-p", "status_period_s:=0.05", "-r", f"__ns:={self.namespace}"]
        with self._log.open("ab") as log:
            self._node = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._node is not None
        self._node.kill()
        self._node.wait()
        self.kinds.clear()
        self._active = False

    def until(self, true: Callable[[], object], what: str) -> None:
        """Wait, and publish images meanwhile."""
        end = time.monotonic() + _WAIT_SECONDS
        while not true():
            assert self._node is not None
            alive = self._node.poll() is None
            assert alive and time.monotonic() < end, (what, self._log.read_text())
            message = Image(height=SIZE[0], width=SIZE[1], encoding="rgb8", step=3 * SIZE[1])
            message.header.stamp = self._robot.get_clock().now().to_msg()
            message.data = bytes(3 * SIZE[0] * SIZE[1])
            self._camera.publish(message)
            self._executor.spin_once(timeout_sec=0.02)

    def until_it_runs(self) -> None:
        self.until(lambda: self._active, "the node becomes active")
        before = self.results
        self.until(lambda: self.results > before + 2, "results")

    def close(self) -> None:
        if self._node is not None:
            self._node.kill()
            self._node.wait()
        self._executor.shutdown()
        self._robot.destroy_node()
        rclpy.try_shutdown(context=self._context)


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[_Killed]:
    with small_disk(_DISK_MIB) as disk:
        if not disk.small:
            pytest.skip("no tmpfs can be mounted here, so that no disk can be full")
        made = _Killed(tmp_path, disk)
        try:
            yield made
        finally:
            made.close()


def test_a_node_that_is_killed_while_its_disk_is_full_runs_again_and_heals(
    killed: _Killed,
) -> None:
    killed.start()
    killed.until_it_runs()
    killed.disk.fill()
    killed.kill()
    killed.disk.fill()  # what it had open and was deleted is room again
    killed.start()
    killed.until_it_runs()  # not a byte is left
    killed.until(lambda: "not_traced" in killed.kinds, "it says that nothing is traced")
    killed.disk.free()
    killed.until(lambda: "traced_again" in killed.kinds, "the trace goes on")
    assert [part for part in killed.traces.glob("run_*-1.mcap") if part.stat().st_size]


def test_a_node_that_starts_for_the_first_time_on_a_full_disk_runs(killed: _Killed) -> None:
    (killed.disk.path / "state").mkdir()
    killed.disk.fill()
    killed.start()
    killed.until_it_runs()
    killed.disk.free()
    killed.until(lambda: "traced_again" in killed.kinds, "the trace begins")


# -- the engine is killed while something else goes wrong -----------------------------------------


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, standby=True) as made:
        assert made.call(RegisterModel, task=made.task("eye")).admitted
        made.listen("eye")
        yield made


def _feed(system: System) -> Callable[[], None]:
    camera = system.camera("eye")
    system.until(lambda: camera.get_subscription_count() > 0)
    return lambda: camera.publish(system.image())


def _goes_on(system: System, feed: Callable[[], None]) -> None:
    count = len(system.results_of("eye"))
    system.until(lambda: len(system.results_of("eye")) > count + 2, feed)
    system.until(lambda: _balanced(system))


def _balanced(system: System) -> bool:
    """Return whether every frame that was received has ended."""
    (eye,) = [task for task in system.statuses[-1].tasks if task.spec.name == "eye"]
    return eye.received == eye.completed + eye.skipped + eye.lost + eye.decimated > 0


def _kill_engine(system: System) -> int:
    status = system.statuses[-1]
    os.kill(status.engine_pid, signal.SIGKILL)
    return int(status.engine_restarts)


def test_an_engine_that_is_killed_while_its_driver_stands_still_is_back_for_the_next_frame(
    system: System,
) -> None:
    feed = _feed(system)
    _goes_on(system, feed)
    feed()  # its last frame; it may be lost with the engine
    restarts = _kill_engine(system)
    system.until(lambda: system.statuses[-1].engine_restarts > restarts)  # and no frame comes
    _goes_on(system, feed)


@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1])
def test_a_registration_whose_engine_is_killed_is_answered_and_true(
    system: System, after_s: float
) -> None:
    feed = _feed(system)
    _goes_on(system, feed)
    asked = system.ask(RegisterModel, task=system.task("ear"))
    time.sleep(after_s)  # somewhere between its first step and its last, or after it
    restarts = _kill_engine(system)
    answer = asked.result_in_time()
    assert answer.rationale.sentence
    system.until(lambda: system.statuses[-1].engine_restarts > restarts, feed)
    listed = {task.spec.name for task in system.call(ListModels).tasks}
    assert listed == ({"eye", "ear"} if answer.admitted else {"eye"})
    if not answer.admitted:
        assert system.call(RegisterModel, task=system.task("ear")).admitted
    system.listen("ear")
    ear = system.camera("ear")
    system.until(lambda: system.results_of("ear"), lambda: ear.publish(system.image()))
    _goes_on(system, feed)


def test_a_second_engine_that_is_killed_while_it_takes_over_is_replaced(system: System) -> None:
    feed = _feed(system)
    _goes_on(system, feed)
    client = system.node._orchestrator._engine
    system.until(lambda: client.status().standby_pid, feed)
    standby = client.status().standby_pid
    first = system.statuses[-1].engine_pid
    os.kill(first, signal.SIGKILL)
    os.kill(standby, signal.SIGKILL)
    system.until(lambda: system.statuses[-1].engine_pid not in (0, first, standby), feed)
    _goes_on(system, feed)
