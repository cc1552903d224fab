"""The programs of the package, as they are started: help and mistakes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rclpy.parameter import Parameter

from test.nodes.system import running

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "install.md").read_text()


def _run(module: str, *arguments: str) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", f"aegis_ros.nodes.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("module", "parameter"),
    [
        ("orchestrator_main", r"status_period_s +Seconds .+\s+Default:\s+0\.5\."),
        ("replay", "config +YAML"),
        ("dashboard", r"results +Subscribe to the results(.|\n)+\s+Default:\s+true\."),
        ("chat", r"requests +Requests at a time(.|\n)+\s+Default:\s+64\."),
    ],
)
def test_help_lists_the_parameters_and_starts_nothing(module: str, parameter: str) -> None:
    code, said = _run(module, "--help")
    assert code == 0
    assert re.search(rf"^  {parameter}", said, re.MULTILINE), said
    assert "-p NAME:=VALUE" in said


@pytest.mark.parametrize("module", ["orchestrator_main", "replay"])
def test_a_file_that_ros_would_ignore_is_refused_with_how_it_is_given(module: str) -> None:
    code, said = _run(module, "robot.yaml")
    assert code == 2
    assert "robot.yaml is no argument of ROS" in said
    assert "--ros-args -p config:=/path/to/file.yaml" in said


def test_services_are_called_without_ros2_as_the_page_shows(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(# ask.py.*?)```", _PAGE, re.DOTALL)
    missing = program.replace("centerface.onnx", "no_such_file.onnx")  # one is measured for 10 s
    (tmp_path / "ask.py").write_text(missing)
    with running(tmp_path) as system:
        assert system.node.state == "active"
        ended = subprocess.run(
            [sys.executable, "ask.py"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        registered, listed, answer, paused = ended.stdout.splitlines()
        assert "no_such_file.onnx" in registered
        assert (listed, paused) == ("[]", "True")
        assert "here is no task 'rear_faces'" in answer
        assert system.node.state == "inactive"


def test_an_orchestrator_without_a_configuration_says_how_to_give_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(tmp_path, autostart=False) as system:
        capfd.readouterr()
        (found,) = system.node.set_parameters([Parameter("config", value="")])
        assert found.successful
        assert system.node.autostart()
        said = capfd.readouterr().err
        assert "no configuration" in said and "-p config:=" in said


_UNKNOWN = (["--frob"], "ROS does not know these arguments (got ['--frob'])")


@pytest.mark.parametrize(
    ("module", "arguments", "says"),
    [
        *((each, *_UNKNOWN) for each in ("orchestrator_main", "replay", "dashboard", "chat")),
        ("monitor", ["-r", "__node:=a-b"], "the remap rule cannot be used (got -r __node:=a-b)"),
        (
            "replay",
            ["--params-file", "nosuch.yaml"],
            "the params file cannot be used (Error opening YAML",
        ),
        ("replay", ["--log-level", "loud"], "the log level cannot be used"),
    ],
)
def test_arguments_that_ros_cannot_use_are_named_in_one_sentence(
    module: str, arguments: list[str], says: str
) -> None:
    code, said = _run(module, "--ros-args", *arguments)
    assert code == 2
    assert f"--ros-args: {says}" in said and "After --ros-args stand -p NAME:=VALUE" in said
    assert "Traceback" not in said and "lexeme" not in said and "/project/" not in said


@pytest.mark.parametrize(
    ("module", "arguments", "given", "said"),
    [
        ("orchestrator_main", ("-p", "autostart:=false"), "confg", "'config'"),
        ("dashboard", ("-p", "port:=0"), "hots", "'host'"),
        ("chat", ("-p", "port:=0"), "hots", "'host'"),
        ("monitor", (), "use_simtime", "'use_sim_time'"),
        ("replay", (), "confg", "'config'"),
    ],
)
def test_a_parameter_that_is_misspelled_is_named_with_the_nearest_one(
    module: str, arguments: tuple[str, ...], given: str, said: str
) -> None:
    command = (sys.executable, "-m", f"aegis_ros.nodes.{module}", "--ros-args")
    with subprocess.Popen(
        [*command, *arguments, "-p", f"{given}:=robot.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as started:
        watchdog = threading.Timer(60, started.kill)
        watchdog.start()
        assert started.stdout is not None
        found = next((line for line in started.stdout if "has no parameter" in line), "")
        watchdog.cancel()
        started.send_signal(signal.SIGINT)
        started.communicate(timeout=60)
    assert "[WARN]" in found
    assert f"has no parameter {given} (did you mean {said}?): what was given is ignored" in found


def test_a_file_of_parameters_for_a_node_that_is_misspelled_is_named(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("replya: {ros__parameters: {config: replay.yaml}}")
    code, said = _run("replay", "--ros-args", "--params-file", str(file))
    assert code == 2
    assert f"{file} has parameters for /replya and none for /replay" in said
