"""Ctrl+C of each program, as a process of its own, at several moments."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from test.interrupted import Interrupted
from test.network.builders import identity_network
from test.nodes.system import running as system

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = dict(
    re.findall(
        r'"(\w+) = ([\w.:]+)"',
        (_ROOT / "setup.py").read_text().partition("console_scripts")[2].partition("]")[0],
    )
)

# As bootstrap/programs.py writes a program; a module that it imports is the moment.
_PROGRAM = """
import os, signal, sys
from pathlib import Path

class Moment:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("AT_IMPORT_OF") and not Path("reached").exists():
            Path("reached").touch()
            if os.environ["AND_THEN"] == "interrupt":
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Moment())
from {module} import {function}
sys.exit({function}())
"""

_TASKS = 20  # to prepare or measure all of them takes longer than to ask for the end
_DASHBOARD = pytest.mark.skipif(
    find_spec("fastapi") is None, reason="the extra `dashboard` is not installed"
)


def _command(program: str, *arguments: str) -> list[str]:
    module, function = _SCRIPTS[program].split(":")
    return [sys.executable, "-c", _PROGRAM.format(module=module, function=function), *arguments]


def _config(folder: Path, tasks: int = 1) -> None:
    lines = []
    for index in range(tasks):
        identity_network(folder / f"net{index}.onnx", (1, 3, 12 + index, 16))
        lines.append(
            f"  - {{name: task{index}, model: net{index}.onnx, period_ms: 1000, jitter_ms: 50,\n"
            f"     input: {{topic: /camera, max_size: [64, 64]}},\n"
            f"     preprocess: {{size: [{12 + index}, 16]}}, output: {{topic: /out{index}}}}}\n"
        )
    (folder / "robot.yaml").write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], realtime_priority: 0}\n"
        f"models: {{roots: ['{folder}']}}\ntasks:\n{''.join(lines)}"
    )
    cv2.imwrite(str(folder / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (folder / "replay.yaml").write_text(
        f"sources: [{{images: '{folder}', topic: /camera, rate_hz: 5}}]"
    )
    (folder / "set.yaml").write_text(
        "tasks: [{name: t, period_ms: 10, segments_ms: [1], lane: main}]"
    )


def _path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}


_ARGUMENTS = {
    "orchestrator": (
        *("--ros-args", "-p", "config:=robot.yaml", "-p", "state_dir:=state"),
        *("-p", "status_period_s:=0.05", "-p", "diagnostics_period_s:=0.1"),
    ),
    "replay": ("--ros-args", "-p", "config:=replay.yaml"),
    "monitor": ("--target", "/nobody"),
    "demo": ("--seconds", "0", "--output", ".", "--config", "robot.yaml"),
    "dashboard": ("--ros-args", "-p", "port:=0"),
    "aegis": ("check", "set.yaml"),
}


@pytest.mark.parametrize(
    ("program", "module", "code"),
    [
        ("orchestrator", "rclpy", 0),
        ("orchestrator", "numpy", 0),
        ("orchestrator", "aegis_ros.nodes.orchestrator", 0),
        ("replay", "rclpy", 0),
        ("replay", "cv2", 0),
        ("monitor", "rclpy", 0),
        ("monitor", "rich.live", 0),
        ("demo", "rclpy", 130),
        ("demo", "aegis_ros.nodes.monitor", 130),
        pytest.param("dashboard", "rclpy", 0, marks=_DASHBOARD),
        pytest.param("dashboard", "uvicorn", 0, marks=_DASHBOARD),
        ("aegis", "typer", 130),
        ("aegis", "numpy", 130),
        ("aegis", "aegis_ros.cli.check", 130),
    ],
)
def test_during_the_imports(program: str, module: str, code: int, tmp_path: Path) -> None:
    _config(tmp_path)
    command = _command(program, *_ARGUMENTS[program])
    moment = {"AT_IMPORT_OF": module, "AND_THEN": "interrupt"}
    with Interrupted(command, tmp_path, **_path(), **moment) as running:
        assert running.ended() == code
        assert (tmp_path / "reached").exists(), "it does not import that module"
        assert running.said() == ""


@pytest.mark.parametrize("seconds", [0.0, 0.3])
@pytest.mark.parametrize(
    ("program", "module", "code"),
    [
        ("orchestrator", "aegis_ros.nodes.dds_leftovers", 0),
        ("replay", "aegis_ros.nodes.replay_config", 0),
        ("monitor", "aegis_ros.views.status", 0),
        ("demo", "aegis_ros.views.status", 130),
        pytest.param("dashboard", "aegis_ros.dashboard.server", 0, marks=_DASHBOARD),
    ],
)
def test_at_the_start(program: str, module: str, code: int, seconds: float, tmp_path: Path) -> None:
    """What is right does not depend on where exactly it is by then."""
    _config(tmp_path)
    command = _command(program, *_ARGUMENTS[program])
    moment = {"AT_IMPORT_OF": module, "AND_THEN": "go on"}
    with Interrupted(command, tmp_path, **_path(), **moment) as running:
        running.until((tmp_path / "reached").exists)
        time.sleep(seconds)
        running.interrupt()
        assert running.ended() == code


@dataclass(frozen=True)
class _Runs:
    """A program that is at work."""

    program: str
    arguments: tuple[str, ...]
    is_at_work: Callable[[Interrupted, Path], object]
    code: int
    tasks: int = 1
    says: str = ""


def _says(text: str) -> Callable[[Interrupted, Path], bool]:
    return lambda running, _: text in running.said()


def _has_a_child(running: Interrupted, _: Path) -> bool:
    return running.processes() > 1


def _has_measured(running: Interrupted, folder: Path) -> bool:
    return (folder / "state" / "profiles.sqlite").exists() and running.processes() > 1


@pytest.mark.parametrize(
    "case",
    [
        _Runs("orchestrator", _ARGUMENTS["orchestrator"], _has_a_child, 0, _TASKS),
        _Runs("orchestrator", _ARGUMENTS["orchestrator"], _says("measuring"), 0, _TASKS),
        _Runs("orchestrator", _ARGUMENTS["orchestrator"], _says("topics are subscribed"), 0),
        _Runs("replay", _ARGUMENTS["replay"], _says("playing 1 recording"), 0),
        _Runs("demo", _ARGUMENTS["demo"], lambda running, _: running.processes() > 2, 130),
        _Runs("demo", _ARGUMENTS["demo"], _says("active"), 130),
        pytest.param(
            _Runs("dashboard", _ARGUMENTS["dashboard"], _says("page of"), 0), marks=_DASHBOARD
        ),
        pytest.param(
            _Runs("aegis", ("dashboard", "--port", "0"), _says("page of"), 0), marks=_DASHBOARD
        ),
        _Runs(
            "aegis",
            ("profile", "robot.yaml", "--runs", "1000000", "--state-dir", "state"),
            _has_measured,
            130,
            says="interrupted; runs measured so far are kept",
        ),
        _Runs("aegis", ("build", "robot.yaml", "--state-dir", "state"), _has_a_child, 130, _TASKS),
        _Runs("aegis", ("doctor", "--stalls", "600"), _has_a_child, 130),
    ],
    ids=lambda case: f"{case.program} {' '.join(case.arguments[:1])}",
)
def test_at_work(case: _Runs, tmp_path: Path) -> None:
    _config(tmp_path, case.tasks)
    with Interrupted(_command(case.program, *case.arguments), tmp_path, **_path()) as running:
        running.until(lambda: case.is_at_work(running, tmp_path))
        running.interrupt()
        assert running.ended() == case.code
        assert case.says in running.said()


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("aegis_ros.cli.simulate", ("simulate", "set.yaml", "--duration", "2h")),
        ("aegis_ros.cli.profile", ("profile", "robot.yaml", "--runs", "1000000")),
    ],
)
@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_of_a_command_that_is_at_work(
    module: str, arguments: tuple[str, ...], seconds: float, tmp_path: Path
) -> None:
    _config(tmp_path)
    moment = {"AT_IMPORT_OF": module, "AND_THEN": "go on", "HOME": str(tmp_path)}
    with Interrupted(_command("aegis", *arguments), tmp_path, **_path(), **moment) as running:
        running.until((tmp_path / "reached").exists)
        time.sleep(seconds)
        running.interrupt()
        assert running.ended() == 130


def test_of_a_monitor_that_shows_an_orchestrator(tmp_path: Path) -> None:
    folder = tmp_path / "monitor"
    folder.mkdir()
    with system(tmp_path), Interrupted(_command("monitor"), folder, **_path()) as running:
        running.until(lambda: "active | " in running.said())
        running.interrupt()
        assert running.ended() == 0


@pytest.mark.parametrize(
    ("program", "arguments", "processes"),
    [
        ("demo", _ARGUMENTS["demo"], 4),  # itself, its watcher, and both nodes
        ("orchestrator", _ARGUMENTS["orchestrator"], 2),
        ("aegis", ("doctor", "--stalls", "600"), 2),
        ("aegis", ("profile", "robot.yaml", "--runs", "1000000", "--state-dir", "state"), 2),
        ("aegis", ("build", "robot.yaml", "--state-dir", "state"), 2),
    ],
)
def test_what_a_program_has_started_ends_when_it_is_killed(
    program: str, arguments: tuple[str, ...], processes: int, tmp_path: Path
) -> None:
    _config(tmp_path, _TASKS)
    with Interrupted(_command(program, *arguments), tmp_path, **_path()) as running:
        running.until(lambda: running.processes() >= processes)
        running.process.kill()
        running.process.wait()
        end = time.monotonic() + 60.0
        while running.processes():
            assert time.monotonic() < end, "a child lives on"
            time.sleep(0.02)
