"""Keys by the names they had before still work, with a note on what they are called now."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.config import parse_config, parse_task, to_mapping
from aegis_ros.errors import ConfigError
from aegis_ros.planning.task_set import read_task_set

TASK: dict[str, Any] = {
    "name": "a",
    "model": "m.onnx",
    "input": {"topic": "/in"},
    "output": {"topic": "/out"},
    "period_ms": 50,
    "criticality": "low",
}
FILE = f"tasks:\n- {json.dumps(TASK)[:-1]},\n   thin_to: 4}}\n"


def test_a_file_with_an_old_key_is_read_and_the_key_is_named_with_its_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        spec = parse_config(FILE, "robot.yaml")
    assert spec.tasks[0].max_decimation == 4
    (note,) = caplog.messages
    assert note == "robot.yaml:3: the key 'thin_to' is now called 'max_decimation'; rename it"


def test_a_present_key_needs_no_note(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_config(FILE.replace("thin_to", "max_decimation")).tasks[0].max_decimation == 4
    assert not caplog.messages


def test_a_journal_of_the_version_before_is_read(caplog: pytest.LogCaptureFixture) -> None:
    written = to_mapping(parse_task(TASK | {"max_decimation": 4}))
    written["thin_to"] = written.pop("max_decimation")
    written["segments"] = "auto"
    assert parse_task(json.loads(json.dumps(written))).max_decimation == 4
    assert not caplog.messages  # nobody could rename it there


def test_a_mistake_behind_an_old_key_is_reported_where_it_stands() -> None:
    with pytest.raises(ConfigError, match=r"robot\.yaml:3: tasks\[0\]\.max_decimation"):
        parse_config(FILE.replace("4", "65"), "robot.yaml")


def test_both_names_may_stand_only_for_one_value() -> None:
    assert parse_task(TASK | {"thin_to": 4, "max_decimation": 4}).max_decimation == 4
    said = r"thin_to: the old name of max_decimation.* Remove thin_to"
    with pytest.raises(ConfigError, match=said):
        parse_task(TASK | {"thin_to": 4, "max_decimation": 5})


def test_a_bare_set_is_read_by_its_old_key(tmp_path: Path) -> None:
    path = tmp_path / "set.yaml"
    path.write_text(
        "tasks: [{name: a, period_ms: 9, segments_ms: [1], criticality: low, thin_to: 3}]"
    )
    assert read_task_set(path).max_decimation == {"a": 3}
