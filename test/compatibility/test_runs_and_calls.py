"""Runs, task sets and service calls of users of version 0.1 still work.

The files below ``v0_1`` were written by that version and are never renewed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aegis_ros.cli.main import main
from aegis_ros.config import load_config
from aegis_ros.planning.task_set import read_task_set
from aegis_ros.rationale import Decision, Rule
from aegis_ros.trace.explain import split
from aegis_ros.trace.history import Ending
from aegis_ros.trace.mcap_file import read_trace
from aegis_ros.trace.states import run_states

FILES = Path(__file__).parent / "v0_1"


@pytest.mark.parametrize("name", ["demo", "readme"])
def test_a_configuration_file_is_read_without_a_note(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = load_config(FILES / "config" / f"{name}.yaml")
    assert spec.tasks and all(task.period_ns for task in spec.tasks)
    assert not caplog.messages


@pytest.mark.parametrize("name", ["driving_stack", "driving_stack_overloaded", "mixed_criticality"])
def test_a_bare_set_is_read(name: str) -> None:
    assert read_task_set(FILES / "config" / f"{name}.yaml").tasks


def test_a_trace_is_read_and_explained() -> None:
    trace = read_trace(FILES / "run.mcap")
    assert {task.name for task in trace.tasks.values()} == {"camera", "pilot", "map", "text"}
    rules = [(item.task, item.decision, item.rule) for item in trace.rationales]
    assert ("late", Decision.REJECTED, Rule.UTILIZATION) in rules
    assert ("map", Decision.INFORMED, Rule.DECIMATION) in rules, "it was called thinning"
    finished = [job for job in trace.jobs.values() if job.ending is Ending.FINISHED]
    assert finished
    for job in finished:
        assert split(trace, job).total_ns() == job.latency_ns
    assert run_states(trace)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["explain", "{run}"], 1),  # results were late
        (["export", "{run}", "--perfetto", "{out}"], 0),
        (["report", "{run}", "-o", "{out}"], 0),
    ],
)
def test_commands_take_a_trace(
    command: list[str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {"run": FILES / "run.mcap", "out": tmp_path / "run.json"}
    monkeypatch.setattr("sys.argv", ["aegis", *(part.format(**named) for part in command)])
    try:
        code = main()
    except SystemExit as ended:
        code = ended.code
    assert (code or 0) == expected


def test_the_example_of_the_readme_fits_the_service() -> None:
    calls = yaml.safe_load((FILES / "calls.yaml").read_text())
    messages = pytest.importorskip("aegis_ros.srv")
    from aegis_ros.nodes.task_message import task_from_message

    tasks = []
    for call in calls:
        request = _filled(getattr(messages, call["srv"]).Request(), yaml.safe_load(call["request"]))
        if call["srv"] == "RegisterModel":
            tasks.append(task_from_message(request.task))
    faces, scans = tasks
    assert (faces.name, faces.period_ns, faces.preprocess.size) == (
        "rear_faces",
        500_000_000,
        (224, 288),
    )
    assert (scans.max_decimation, scans.output.tensors) == (4, False)
    assert scans.output.options == {"threshold": 0.4}


def _filled(message: Any, values: dict[str, Any]) -> Any:
    """Return a message with fields set as ``ros2 service call`` sets them."""
    for name, value in values.items():
        before = getattr(message, name)
        if isinstance(value, dict):
            _filled(before, value)
        else:
            setattr(message, name, value)
    return message
