"""`aegis dashboard`: becomes the node, or says what is missing here."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from aegis_ros.cli import dashboard
from aegis_ros.errors import ConfigError

PROGRAM = EntryPoint("dashboard", "aegis_ros.nodes.programs:dashboard", "aegis_ros.programs")


def _arguments(
    target: str = "orchestrator", host: str = "127.0.0.1", port: int = 8470
) -> list[str]:
    return dashboard.node_arguments(target, host, port, metrics=True, results=False, params=None)


def test_runs_the_node_with_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(dashboard, "find_spec", lambda name: object())
    monkeypatch.setattr(dashboard, "entry_points", lambda **wanted: (PROGRAM,))
    monkeypatch.setattr("os.execv", lambda program, command: became.append(command))
    dashboard.run(_arguments("/a/b", "127.0.0.1", 0))
    (command,) = became
    assert command[:6] == [
        sys.executable, "-P", "-m", "aegis_ros.nodes.programs", "dashboard", "--ros-args"
    ]  # fmt: skip
    assert command[6:] == [
        *("-p", "target:=/a/b"),
        *("-p", "host:='127.0.0.1'"),
        *("-p", "port:=0"),
        *("-p", "metrics:=true"),
        *("-p", "results:=false"),
    ]


def test_a_file_of_parameters_goes_first_so_that_options_have_the_last_word(
    tmp_path: Path,
) -> None:
    file = tmp_path / "params.yaml"
    file.touch()
    arguments = dashboard.node_arguments(
        "a", "127.0.0.1", 1, metrics=False, results=True, params=file
    )
    assert arguments[1:3] == ["--params-file", str(file)]


@pytest.mark.parametrize("missing", ["rclpy", "aegis_ros.msg"])
def test_without_ros_it_says_what_to_source_and_what_works_all_the_same(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(ConfigError, match=r"(?s)environment.*source .*aegis report TRACE"):
        dashboard.run(_arguments("a", "127.0.0.1", 1))


@pytest.mark.parametrize(
    ("target", "host", "port", "message"),
    [
        ("", "127.0.0.1", 1, "--target"),
        ("a b", "127.0.0.1", 1, "--target"),
        ("a", "", 1, "--host"),
        ("a", "x:=1", 1, "--host"),
        ("a", "127.0.0.1", -1, "--port"),
        ("a", "127.0.0.1", 65536, "--port"),
    ],
)
def test_a_wrong_argument_is_named(target: str, host: str, port: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _arguments(target, host, port)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--params"):
        dashboard.node_arguments(
            "a", "h", 1, metrics=False, results=True, params=tmp_path / "none.yaml"
        )
