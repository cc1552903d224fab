"""A node that cannot be configured says why in its log, whatever the reason is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.errors import EngineError
from aegis_ros.orchestrator import Orchestrator
from test.nodes.system import System, running


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("robot"), autostart=False) as each:
        yield each


def _reason(system: System, capfd: pytest.CaptureFixture[str]) -> str:
    """Try to configure, and return what the log says of it."""
    capfd.readouterr()
    assert system.node.autostart() is False
    assert system.node.state == "unconfigured"
    said = [line for line in capfd.readouterr().err.splitlines() if "cannot configure: " in line]
    assert len(said) == 1 and "[ERROR]" in said[0], said
    reason = said[0].partition("cannot configure: ")[2]
    assert len(reason) > 20, reason
    return reason


def _text(text: str | bytes) -> Callable[[Path], None]:
    content = text if isinstance(text, bytes) else text.encode()

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "No such file"),
    "folder": (Path.mkdir, "not a regular file"),
    "pipe": (os.mkfifo, "not a regular file"),
    "link to itself": (lambda path: path.symlink_to(path), "symbolic links"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "too large": (_text(b"#" * 2**21), "too large"),
    "picture": (_text(b"\x89PNG\r\n\xff\xfe"), "not text in UTF-8"),
    "list": (_text("[1, 2]"), "expected"),
    "no YAML": (_text("device: {lanes: ["), "not valid YAML"),
    "deep": (_text("[" * 100_000), "lie inside each other"),
    "aliases": (_text("a: &a [1]\nb: *a"), "alias"),
    "no lanes": (_text("device: {lanes: []}"), "device.lanes"),
    "no such backend": (_text("device: {backend: nonesuch}"), "nonesuch"),
}


@pytest.mark.parametrize("kind", _FILES)
def test_a_file_that_cannot_be_used_is_the_reason(
    system: System, tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "robot.yaml"
    make, expected = _FILES[kind]
    make(path)
    before = system.node.settings["config"]
    assert system.node.set_parameters([Parameter("config", value=str(path))])[0].successful
    try:
        assert expected in _reason(system, capfd)
    finally:
        system.node.set_parameters([Parameter("config", value=before)])


class PanicException(BaseException):
    """As libraries in Rust raise it."""


class SpeechlessError(Exception):
    """As a plug-in may make it: its text is made of what is not there."""

    def __str__(self) -> str:
        return str(self.args[3])


_ERRORS = [
    PanicException("index out of bounds"),
    SpeechlessError("not that many arguments"),
    ValueError("half a character, which no log takes: \ud800"),
    SystemExit("a plug-in gives up"),
    MemoryError("what is left is not enough"),
    RecursionError("maximum recursion depth exceeded"),
    StopIteration("nothing comes next"),
    AssertionError("a mistake of this package"),
    OSError(28, "No space left on device"),
]
_LATER = ("ResultPublisher", "SensorIntake", "Ears", "create_monitor")


@pytest.mark.parametrize(
    ("where", "error"),
    [
        *(("LaneChooser", each) for each in _ERRORS),
        *(("Orchestrator", each) for each in _ERRORS),
        *((where, each) for where in _LATER for each in _ERRORS[:2]),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_whatever_is_raised_is_the_reason(
    system: System,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    error: BaseException,
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(f"aegis_ros.nodes.orchestrator.{where}", fail)
        assert type(error).__name__ in _reason(system, capfd)
        asked = system.ask_node(
            ChangeState, "change_state", transition=Transition(label="configure")
        )
        assert not asked.result_in_time().success
    assert system.node.state == "unconfigured"


def test_an_engine_that_does_not_start_is_the_reason(
    system: System, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(process: EngineProcess, trace: object = None) -> None:
        process.kill()
        process.close()
        raise EngineError("the engine did not start (exit code 3)")

    monkeypatch.setattr(EngineProcess, "begin", fail)
    assert "the engine did not start (exit code 3)" in _reason(system, capfd)
    assert any("(exit code 3)" in each.message for each in system.node._health())


@pytest.mark.parametrize("error", [PanicException("unwrap on None"), SpeechlessError()])
def test_a_node_that_cannot_be_activated_says_why(
    system: System,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("aegis_ros.nodes.orchestrator.FramePathPriority", fail)
        capfd.readouterr()
        assert system.node.autostart() is False
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "cannot activate: " in line]
    assert "[ERROR]" in said and type(error).__name__ in said
    assert system.node.state == "inactive"
    assert system.node.trigger_cleanup() is TransitionCallbackReturn.SUCCESS


def test_what_ros_itself_refuses_is_the_reason(
    system: System, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("rcl has no such transition")

    with monkeypatch.context() as patch:
        patch.setattr(system.node, "trigger_configure", fail)
        capfd.readouterr()
        assert system.node.autostart() is False
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert "configure failed: RuntimeError: rcl has no such transition" in said


def test_a_node_that_could_not_be_configured_can_be_later(
    system: System, capfd: pytest.CaptureFixture[str]
) -> None:
    state = system.folder / "state"
    state.mkdir(exist_ok=True)
    rights = state.stat().st_mode
    state.chmod(0o777)
    capfd.readouterr()
    assert system.node.autostart()
    state.chmod(rights)
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "[ERROR]" in line]
    assert f"Every user of this machine can write to {state}" in said
    assert not system.node.autostart()
    assert "configure is not possible now: the node is active" in capfd.readouterr().err
    done = TransitionCallbackReturn.SUCCESS
    assert system.node.trigger_deactivate() is done and system.node.trigger_cleanup() is done


def test_configuring_that_was_stopped_is_said_and_is_no_failure(
    system: System, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = system.node
    prepared = node._prepared

    def stopped_meanwhile(*given: Any) -> Orchestrator:
        found = prepared(*given)
        # As `close` does, before it interrupts what is under way.
        monkeypatch.setattr(node, "_closing", True)
        return found

    monkeypatch.setattr(node, "_prepared", stopped_meanwhile)
    assert node.trigger_configure() is TransitionCallbackReturn.FAILURE
    assert node._orchestrator is None
    said = capfd.readouterr().err
    assert re.search(r"\[INFO\].*: configuring was stopped on request\.$", said, re.MULTILINE), said
    assert "[ERROR]" not in said and "Traceback" not in said
