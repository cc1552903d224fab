"""A node that programs on its machine cannot reach any more notices, and begins again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus
from rclpy.context import Context
from sensor_msgs.msg import Image

from aegis_ros.nodes import reachable, starting_again
from aegis_ros.nodes.executor import NodeExecutor
from aegis_ros.nodes.reachable import Ports, Reachable
from test.network.builders import identity_network
from test.nodes.system import SIZE

_WAIT_SECONDS = 100.0
_PORTS = re.compile(r"/dev/shm/fast(?:rtps|dds)_port\d+_el")


# -- which ports are cut off ----------------------------------------------------------------------


class _Process:
    """What /proc shows of a process, whose shared memory is in another folder."""

    def __init__(self, folder: Path) -> None:
        self.shm = folder / "shm"
        self.proc = folder / "proc"
        for each in (self.shm, self.proc / "fd"):
            each.mkdir(parents=True)
        self._maps: list[str] = []

    def listen(self, port: int, deleted: str = "") -> None:
        number = len(list((self.proc / "fd").iterdir())) + 3
        lock = f"{self.shm}/fastrtps_port{port}_el{deleted}"
        (self.proc / "fd" / str(number)).symlink_to(lock)

    def map(self, port: int, inode: int, deleted: str = "") -> None:
        self._maps.append(
            f"7f1c5a1000-7f1c5a9000 rw-s 00000000 00:1b {inode}"
            f"                     {self.shm}/fastrtps_port{port}{deleted}\n"
        )
        (self.proc / "maps").write_text("".join(self._maps) + "7f1c-7f1d rw-p 0 00:00 0 [heap]\n")

    def unmap_all(self) -> None:
        """Forget all mappings; who looks at them from now on fails."""
        self._maps.clear()
        (self.proc / "maps").unlink()

    def make(self, port: int) -> int:
        path = self.shm / f"fastrtps_port{port}"
        path.touch()
        return path.stat().st_ino


@pytest.fixture
def process(tmp_path: Path) -> _Process:
    return _Process(tmp_path)


def test_a_port_whose_file_is_the_one_that_is_mapped_is_reached(process: _Process) -> None:
    process.listen(7411)
    process.map(7411, process.make(7411))
    assert Ports(process.proc).cut_off() == ()


def test_a_port_whose_file_was_removed_or_replaced_is_cut_off(process: _Process) -> None:
    process.listen(7411)
    process.listen(7413, " (deleted)")
    process.map(7411, process.make(7411) + 1, " (deleted)")  # another file has its name now
    process.map(7413, 5, " (deleted)")
    assert Ports(process.proc).cut_off() == (7411, 7413)


def test_a_port_of_another_process_may_come_and_go(process: _Process) -> None:
    process.listen(7411)
    process.map(7411, process.make(7411))
    process.map(7499, 5, " (deleted)")
    assert Ports(process.proc).cut_off() == ()


def test_a_port_that_was_made_anew_is_reached_though_the_old_one_is_still_mapped(
    process: _Process,
) -> None:
    process.listen(7411)
    process.map(7411, 5, " (deleted)")
    process.map(7411, process.make(7411))
    assert Ports(process.proc).cut_off() == ()


def test_a_process_without_shared_memory_is_not_cut_off(process: _Process) -> None:
    assert Ports(process.proc).cut_off() == ()


def test_mappings_are_gone_through_only_where_a_name_is_not_what_it_was(process: _Process) -> None:
    process.listen(7411)
    process.map(7411, process.make(7411))
    ports = Ports(process.proc)
    assert ports.cut_off() == ()
    process.unmap_all()
    assert [ports.cut_off() for _ in range(3)] == [()] * 3


def test_a_port_that_is_cut_off_later_is_found_then(process: _Process) -> None:
    for port in (7411, 7413):
        process.listen(port)
        process.map(port, process.make(port))
    ports = Ports(process.proc)
    assert ports.cut_off() == ()
    (process.shm / "fastrtps_port7413").rename(process.shm / "fastrtps_port7499")
    assert [ports.cut_off() for _ in range(3)] == [(7413,)] * 3
    replaced = process.make(7413)
    assert ports.cut_off() == (7413,)  # by another process: it is not what is mapped here
    process.map(7413, replaced)
    assert ports.cut_off() == ()


def test_a_port_at_which_the_process_listens_only_later_is_looked_at(process: _Process) -> None:
    process.listen(7411)
    process.map(7411, process.make(7411))
    ports = Ports(process.proc)
    assert ports.cut_off() == ()
    process.listen(7413)
    process.map(7413, 5, " (deleted)")
    assert ports.cut_off() == (7413,)


# -- what is said, and done -----------------------------------------------------------------------


class _Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Callable[[str], None]:
        return lambda text: self.said.append((level, text))


def _watching(
    monkeypatch: pytest.MonkeyPatch, *, heard: bool, may: bool | None
) -> tuple[Reachable, _Log, list[tuple[int, ...]], list[bool]]:
    """Return who watches, what it logs, the ports to be cut off, and the new beginnings."""
    log, cut_off, begun = _Log(), [()], list[bool]()
    ports = SimpleNamespace(cut_off=lambda: cut_off[-1])
    monkeypatch.setattr(reachable, "Ports", lambda: ports)

    def begin() -> bool:
        begun.append(bool(may))
        return bool(may)

    node = cast(Any, SimpleNamespace(get_logger=lambda: log))
    watch = Reachable(node, lambda: heard, None if may is None else begin)
    return watch, log, cast(Any, cut_off), begun


def test_a_port_that_is_being_made_anew_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, log, cut_off, begun = _watching(monkeypatch, heard=False, may=True)
    for ports in ((), (7411,), (), (7411,), ()):
        cut_off.append(ports)
        watch.look()
    assert (watch.problem, log.said, begun) == ("", [], [])


def test_a_node_that_never_heard_a_frame_begins_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, log, cut_off, begun = _watching(monkeypatch, heard=False, may=True)
    cut_off.append((7411,))
    for _ in range(5):
        watch.look()
    assert begun == [True]
    assert [level for level, _ in log.said] == ["warning"]


@pytest.mark.parametrize(("heard", "may"), [(True, True), (False, False), (False, None)])
def test_a_node_that_does_not_begin_again_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, heard: bool, may: bool | None
) -> None:
    watch, log, cut_off, begun = _watching(monkeypatch, heard=heard, may=may)
    cut_off.append((7411, 7413))
    for _ in range(5):
        watch.look()
    assert True not in begun
    assert log.said == [("error", watch.problem)]
    assert watch.problem.endswith("restart this node") and "port7411 and port7413" in watch.problem
    cut_off.append(())
    watch.look()
    assert watch.problem == "" and log.said[-1][0] == "info"


def test_a_program_is_started_again_with_its_arguments_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AEGIS_STARTED_AGAIN", raising=False)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "program", "--ros-args"])
    replaced = []
    inherited, other = os.pipe()
    os.set_inheritable(inherited, True)
    try:
        while starting_again.may_start_again():
            starting_again.start_again(cast(Any, lambda *given: replaced.append(given)))
        assert not os.get_inheritable(inherited)
    finally:
        os.close(inherited)
        os.close(other)
        del os.environ["AEGIS_STARTED_AGAIN"]
    assert replaced == [(sys.executable, [sys.executable, "-m", "program", "--ros-args"])] * 3


# -- with the real Fast DDS -----------------------------------------------------------------------


class _Robot:
    """A real orchestrator, whose ports may be taken away, and a camera that starts later."""

    def __init__(self, folder: Path) -> None:
        self.namespace = f"/cut_off_{os.getpid()}"
        model = identity_network(folder / "identity.onnx", (1, 3, *SIZE))
        config = folder / "robot.yaml"
        config.write_text(
            "device: {backend: onnxruntime, lanes: [{name: main}], arena_mib: 64, "
            "realtime_priority: 0}\n"
            f"models: {{roots: ['{folder}']}}\n"
            f"tasks:\n  - {{name: eye, model: '{model}', period_ms: 50, wcet_ms: 1,\n"
            f"     input: {{topic: {self.namespace}/image, max_size: [64, 64]}},\n"
            f"     preprocess: {{size: {list(SIZE)}}},\n"
            f"     output: {{topic: {self.namespace}/result}}}}\n"
        )
        self._log = folder / "log"
        command = [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
        command += ["-p", f"config:={config}", "-p", f"state_dir:={folder / 'state'}"]
        command += ["-p", "status_period_s:=0.1", "-r", f"__ns:={self.namespace}"]
        with self._log.open("wb") as log:
            self._node = subprocess.Popen(command, stdout=log, stderr=log)
        self._context = Context()
        self._executor: NodeExecutor | None = None
        self.active = False
        self.results = 0

    def until(self, true: Callable[[], Any], what: str) -> Any:
        end = time.monotonic() + _WAIT_SECONDS
        while not (found := true()):
            alive = self._node.poll() is None
            assert alive and time.monotonic() < end, (what, self.log())
            if self._executor is None:
                time.sleep(0.01)
            else:
                self._executor.spin_once(timeout_sec=0.02)
        return found

    def log(self) -> str:
        return self._log.read_text()

    def ports(self) -> list[str]:
        """Return the ports at which the orchestrator listens."""
        found = set()
        for each in Path(f"/proc/{self._node.pid}/fd").iterdir():
            try:
                found.update(_PORTS.findall(os.readlink(each)))
            except OSError:
                continue
        return sorted(path.removesuffix("_el") for path in found)

    def look_on(self) -> None:
        """Begin to publish images and to hear results."""
        rclpy.init(context=self._context)
        robot = self._robot = rclpy.create_node("robot", context=self._context)
        camera = robot.create_publisher(Image, f"{self.namespace}/image", 1)

        def publish() -> None:
            message = Image(height=SIZE[0], width=SIZE[1], encoding="rgb8", step=3 * SIZE[1])
            message.header.stamp = robot.get_clock().now().to_msg()
            message.data = bytes(3 * SIZE[0] * SIZE[1])
            camera.publish(message)

        robot.create_timer(0.06, publish)
        robot.create_subscription(
            OrchestratorStatus, f"{self.namespace}/orchestrator/status", self._status, 10
        )
        robot.create_subscription(InferenceResult, f"{self.namespace}/result", self._result, 10)
        self._executor = NodeExecutor(context=self._context)
        self._executor.add_node(robot)

    def _status(self, message: OrchestratorStatus) -> None:
        self.active = message.state == "active"

    def _result(self, message: InferenceResult) -> None:
        self.results += 1

    def close(self) -> None:
        self._node.kill()
        self._node.wait()
        if self._executor is not None:
            self._executor.shutdown()
            self._robot.destroy_node()
        rclpy.try_shutdown(context=self._context)


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[_Robot]:
    made = _Robot(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_node_whose_shared_memory_was_taken_away_before_the_first_frame_hears_it_yet(
    robot: _Robot,
) -> None:
    if not rclpy.get_rmw_implementation_identifier().startswith("rmw_fastrtps"):
        pytest.skip("needs rmw_fastrtps_cpp as RMW_IMPLEMENTATION")
    robot.until(lambda: "subscribed by" in robot.log(), "the node is active")
    ports = robot.until(robot.ports, "the node listens")
    for port in ports:
        for path in (port, f"{port}_el"):
            Path(path).unlink()
    robot.look_on()
    robot.until(lambda: robot.results > 2, "results")
    assert "no frame has come yet, so it starts again" in robot.log()
