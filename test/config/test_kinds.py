"""A file that was given in place of another is called what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.planning.task_set import read_task_set

_FILES = {
    "recordings": (
        "sources: [{images: a.png, topic: /a, rate_hz: 1}]",
        "recordings for the replay",
    ),
    "parameters": ("orchestrator: {ros__parameters: {config: robot.yaml}}", "ROS parameters"),
    "launch": ("launch: [{node: {pkg: aegis_ros, exec: orchestrator}}]", "a launch file"),
}


def _refused(read: Callable[[Path], object], path: Path, text: str) -> ConfigError:
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read(path)
    return refused.value


@pytest.mark.parametrize("read", [load_config, read_task_set])
@pytest.mark.parametrize("name", _FILES)
def test_what_it_is_and_what_it_is_for_is_said_in_place_of_its_keys(
    tmp_path: Path, read: Callable[[Path], object], name: str
) -> None:
    text, words = _FILES[name]
    error = _refused(read, tmp_path / "file.yaml", text)
    assert words in error.problem and "tasks" in error.expected
    assert error.hint and "Remove" not in str(error)


def test_a_bare_set_is_none_for_an_orchestrator(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    error = _refused(load_config, path, "tasks: [{name: a, period_ms: 10, segments_ms: [1]}]")
    assert "a bare set of tasks" in error.problem and "`aegis check`" in error.hint
    assert len(read_task_set(path).tasks) == 1


def test_a_mistake_in_the_right_kind_of_file_is_that_mistake(tmp_path: Path) -> None:
    error = _refused(load_config, tmp_path / "robot.yaml", "device: {}\nsources: []")
    assert error.problem == "unknown key"
    error = _refused(load_config, tmp_path / "robot.yaml", "taskz: []")
    assert error.problem == "unknown key" and "'tasks'" in error.hint


@pytest.mark.parametrize("name", ["net.onnx", "run.mcap"])
def test_a_file_that_is_no_text_is_sent_where_it_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x08\xff\xfe")
    with pytest.raises(ConfigError, match=rf"`aegis (inspect|explain) {path}`"):
        read_task_set(path)


@pytest.mark.parametrize("read", [load_config, read_task_set])
def test_a_file_that_is_not_there_needs_its_path_checked_and_nothing_else(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path / "nosuch.yaml")
    assert refused.value.hint == "Check the path"
