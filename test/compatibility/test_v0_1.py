"""What users of version 0.1 have still works: their files, service calls, journals and traces.

The files below ``v0_1`` were written by that version and are never renewed.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from aegis_ros.cli.main import main
from aegis_ros.config import load_config
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.planning.task_set import read_task_set
from aegis_ros.rationale import Decision, Rule
from aegis_ros.spec import Criticality
from aegis_ros.trace.explain import split
from aegis_ros.trace.history import Ending
from aegis_ros.trace.mcap_file import read_trace
from aegis_ros.trace.states import run_states
from aegis_ros.wcet import ProfileKey, ProfileStore

FILES = Path(__file__).parent / "v0_1"


@pytest.mark.parametrize("name", ["demo", "readme"])
def test_a_configuration_file_is_read_without_a_note(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    spec = load_config(FILES / "config" / f"{name}.yaml")
    assert spec.tasks and all(task.period_ns for task in spec.tasks)
    assert not caplog.messages


def test_a_declared_limit_of_decimation_is_read_by_its_old_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (FILES / "config" / "readme.yaml").read_text()
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace("criticality: high", "thin_to: 1\n    criticality: high"))
    with caplog.at_level(logging.WARNING):
        (task,) = load_config(path).tasks
    assert task.decimation_limit == 1
    assert "'thin_to' is now called 'max_decimation'" in caplog.text


@pytest.mark.parametrize("name", ["driving_stack", "driving_stack_overloaded", "mixed_criticality"])
def test_a_bare_set_is_read(name: str) -> None:
    assert read_task_set(FILES / "config" / f"{name}.yaml").tasks


def test_tasks_of_a_journal_are_restored(tmp_path: Path) -> None:
    shutil.copy(FILES / "journal.sqlite", tmp_path)
    journal = Journal(tmp_path / "journal.sqlite")
    tasks, problems = journal.tasks()
    assert (problems, journal.moved_aside) == ([], None)
    assert [task.name for task in tasks] == ["pilot", "map"]
    assert tasks[1].criticality is Criticality.LOW
    assert (tasks[1].max_decimation, tasks[1].wcet_ns) == (4, 40_000_000)


def test_a_measured_profile_needs_no_new_measurement(tmp_path: Path) -> None:
    shutil.copy(FILES / "profiles.sqlite", tmp_path)
    key = ProfileKey("a" * 32 + "/2-cut", "onnxruntime", "a processor, ONNX Runtime 1.20")
    profile = ProfileStore(tmp_path / "profiles.sqlite").get(key)
    assert profile is not None
    assert profile.samples_ns.tolist() == [[3_000_000, 2_000_000]] * 3


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
