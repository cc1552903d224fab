"""What a node remembers is its own, is locked, and is told where it comes from."""

from __future__ import annotations

import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.errors import ConfigError, StateError
from aegis_ros.orchestrator import ResultCode
from aegis_ros.orchestrator.generator_judging import GeneratorJudging
from aegis_ros.orchestrator.judging import Judge
from aegis_ros.orchestrator.node_folder import NodeFolder
from aegis_ros.orchestrator.node_state import NodeState
from aegis_ros.orchestrator.state_folder import StateFolder, exposed
from aegis_ros.rationale import Rule
from aegis_ros.rationale.rejection import NotAccepted, Unforeseen
from aegis_ros.rationale.requests import StateExposed, StateNotKept, TaskRemembered
from aegis_ros.sandbox.scratch import Scratch
from aegis_ros.spec import Accept, GeneratorSpec, ServicesSpec, TaskSpec
from test.orchestrator.house import House


def test_two_nodes_of_one_state_directory_have_memories_of_their_own(tmp_path: Path) -> None:
    left, right = (House(tmp_path, node=f"/{side}/orchestrator") for side in ("left", "right"))
    for house, name in ((left, "a"), (right, "b")):
        house.start()
        assert house.orchestrator.register(house.task(name)).accepted
    assert left.orchestrator.unregister("a").accepted
    for house, names in ((left, []), (right, ["b"])):
        house.restart()
        assert house.names() == names
        house.orchestrator.cleanup()


def test_state_that_another_process_owns_is_refused_with_who_that_is(tmp_path: Path) -> None:
    first, second = House(tmp_path), House(tmp_path)
    first.start()
    with pytest.raises(StateError, match=rf"in use by process {os.getpid()}, since 20"):
        second.start()
    first.orchestrator.cleanup()
    second.start()
    second.orchestrator.cleanup()


def test_a_lock_whose_owner_is_gone_means_nothing(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    folder.path.mkdir(parents=True)
    (folder.path / "lock").write_text('{"pid": 1, "node": "/orchestrator"}')
    folder.take()
    folder.give_back()


def test_the_default_node_takes_over_the_journal_of_the_version_before(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    house.orchestrator.register(house.task("a"))
    house.orchestrator.cleanup()
    state = tmp_path / "state"
    for part in (state / "nodes" / "orchestrator").glob("journal.sqlite*"):
        shutil.move(part, state / part.name)
    shutil.rmtree(state / "nodes")
    other = House(tmp_path, node="/left/orchestrator")
    other.start()
    assert other.names() == [] and (state / "journal.sqlite").exists()
    house.restart()
    assert house.names() == ["a"] and not (state / "journal.sqlite").exists()
    for each in (house, other):
        each.orchestrator.cleanup()


@pytest.mark.parametrize("node", ["orchestrator", "/", "/../x", "/a//b", "/a b"])
def test_what_is_no_name_of_a_node_makes_no_folder(tmp_path: Path, node: str) -> None:
    with pytest.raises(ConfigError):
        NodeFolder(tmp_path, node)


def test_nobodys_orchestrator_remembers_nothing_and_locks_nothing(tmp_path: Path) -> None:
    owner, tool = House(tmp_path), House(tmp_path, node="")
    owner.start()
    tool.orchestrator.configure(admit=False)
    assert tool.orchestrator.profiler.measure(
        tool.task(wcet_ms=0), 20, lambda done, worst: True
    ).runs
    for each in (owner, tool):
        each.orchestrator.cleanup()


def test_a_task_says_where_it_comes_from(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.restart(house.task("filed"))
    house.orchestrator.register(house.task("asked"))
    origins = {each.spec.name: each.origin for each in house.orchestrator.status().tasks}
    assert origins["filed"] == "from the configuration file"
    assert origins["asked"].startswith("requested at 20")
    when = origins["asked"].removeprefix("requested at ")
    house.reported.clear()
    house.restart(house.task("filed"))
    origins = {each.spec.name: each.origin for each in house.orchestrator.status().tasks}
    assert origins["asked"] == f"remembered from {when}"
    (reason,) = [r.reason for r in house.reported if isinstance(r.reason, TaskRemembered)]
    assert reason.task == "asked"


def test_a_remembered_task_that_is_refused_stays_remembered_until_it_is_unregistered(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    house.start()
    house.orchestrator.register(house.task("a", wcet_ms=60))
    house.orchestrator.cleanup()
    for _ in range(2):
        house.restart(house.task("filed", wcet_ms=60))  # no time is left for it
        assert house.names() == ["filed"]
    answer = house.orchestrator.unregister("a")
    assert answer.accepted and answer.result is ResultCode.DONE
    assert "is now forgotten" in answer.rationale.sentence
    assert house.orchestrator.unregister("a").rationale.rule is Rule.UNKNOWN_TASK
    house.restart()
    assert house.names() == []


def test_what_is_remembered_is_not_admitted_where_tasks_come_from_the_file_only(
    tmp_path: Path,
) -> None:
    """Whoever could reach the services before they were closed is kept out as well."""
    house = House(tmp_path)
    house.start()
    house.orchestrator.register(house.task("a"))
    for _ in range(2):
        house.spec = replace(house.spec, services=ServicesSpec(Accept.NONE))
        house.restart(house.task("filed"))
        assert house.names() == ["filed"]
        (refused,) = house.orchestrator.status().rejected
        assert refused.name == "a" and refused.rationale.reason == NotAccepted("a", "none")
    house.spec = replace(house.spec, services=ServicesSpec(Accept.LOCAL))
    house.restart()
    assert house.names() == ["a"]


def test_an_entry_that_no_longer_reads_is_reported_and_can_be_unregistered(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    for name in ("a", "b"):
        house.orchestrator.register(house.task(name))
    house.orchestrator.cleanup()
    with sqlite3.connect(house.journal) as connection:
        connection.execute("UPDATE task SET spec = '{}' WHERE name = 'a'")
    connection.close()
    house.restart()
    assert house.names() == ["b"]
    assert any("a cannot be restored" in item.sentence for item in house.reported)
    assert [each.name for each in house.orchestrator.status().rejected] == ["a"]
    assert house.orchestrator.unregister("a").accepted


@pytest.mark.parametrize("filed", [True, False])
def test_a_task_that_fails_at_the_start_in_a_way_that_nobody_foresaw_costs_that_task_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, filed: bool
) -> None:
    def judge(one: Judge, spec: TaskSpec, *arguments: Any, **named: Any) -> Any:
        if spec.name == "a":
            raise ValueError("a mistake of this package \x1b[2J")
        return judged(one, spec, *arguments, **named)

    house = House(tmp_path)
    house.start()
    tasks = [house.task(name) for name in ("a", "b")]
    for each in tasks:
        house.orchestrator.register(each)
    judged = Judge.judge
    monkeypatch.setattr(Judge, "judge", judge)
    house.reported.clear()
    house.restart(*tasks if filed else ())
    assert house.names() == ["b"]
    assert [each.name for each in house.orchestrator.status().rejected] == ["a"]
    assert any("a mistake of this package" in item.sentence for item in house.reported)
    (said,) = caplog.messages
    assert said.startswith("task a: Traceback") and "a mistake of this package \\x1b" in said
    assert house.orchestrator.unregister("a").accepted


def test_a_generator_that_fails_in_a_way_that_nobody_foresaw_costs_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged(*_: Any) -> Any:
        raise ValueError("a mistake of this package")

    monkeypatch.setattr(GeneratorJudging, "judged", judged)
    house = House(tmp_path)
    house.spec = replace(house.spec, generators=(GeneratorSpec("llm", "tiny.gguf"),))
    house.restart(house.task("a"))
    assert house.names() == ["a"]
    (refused,) = house.orchestrator.status().generators
    assert refused.problem == Unforeseen("llm", "ValueError('a mistake of this package')")


def test_a_damaged_journal_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    house.orchestrator.register(house.task("a"))
    house.orchestrator.cleanup()
    for path in house.journal.parent.glob("journal*"):
        path.write_bytes(b"rubbish" * 500)
    house.restart(house.task("b"))
    assert house.names() == ["b"]
    assert any("was damaged" in item.sentence for item in house.reported)


def test_a_state_directory_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    house.start()
    unknown = house.task("a", wcet_ms=0)
    assert house.orchestrator.register(unknown).accepted
    house.orchestrator.cleanup()
    monkeypatch.setattr(
        "aegis_ros.orchestrator.state_folder._why_not_written",
        lambda folder: "Read-only file system",
    )
    house.reported.clear()
    house.restart(house.task("b"))
    assert sorted(house.names()) == ["a", "b"]
    assert house.engine.measured == 0, "the profile is known from before"
    (kept,) = [r.reason for r in house.reported if isinstance(r.reason, StateNotKept)]
    assert kept.problem == "Read-only file system"
    house.orchestrator.cleanup()


def test_a_folder_in_memory_begins_as_a_copy_and_goes_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "net.json").write_text("{}")
    (tmp_path / "profiles.sqlite").write_bytes(b"profiles")
    assert StateFolder(tmp_path).path == tmp_path
    monkeypatch.setattr(
        "aegis_ros.orchestrator.state_folder._why_not_written", lambda folder: "full"
    )
    folder = StateFolder(tmp_path)
    place = folder.path
    assert (place / "cache" / "net.json").read_text() == "{}"
    assert (place / "profiles.sqlite").read_bytes() == b"profiles"
    (place / "cache" / "new.json").write_text("{}")
    assert not (tmp_path / "cache" / "new.json").exists()
    del folder
    assert not place.exists()


def test_a_place_that_is_no_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    assert StateFolder(tmp_path / "state").problem


@pytest.mark.parametrize(("umask", "rights"), [(0o022, 0o644), (0o077, 0o600)])
def test_others_read_what_the_umask_lets_them_and_neither_audit_log_nor_lock(
    tmp_path: Path, umask: int, rights: int
) -> None:
    before = os.umask(umask)
    try:
        house = House(tmp_path)
        house.start()
        house.orchestrator.register(house.task())
    finally:
        os.umask(before)
    found = {
        path.name: path.stat().st_mode & 0o777
        for path in (tmp_path / "state").rglob("*")
        if path.is_file()
    }
    assert found.pop("audit.jsonl") == 0o600 and found.pop("lock") & 0o007 == 0
    assert {"journal.sqlite", "profiles.sqlite"} < found.keys()
    assert set(found.values()) == {rights}
    house.orchestrator.cleanup()


@pytest.mark.parametrize(
    "folder",
    ["", "cache", "cache/networks", "nodes", "nodes/orchestrator", "nodes/orchestrator/audit"],
)
def test_a_state_directory_that_all_users_can_write_to_is_reported(
    tmp_path: Path, folder: str
) -> None:
    place = tmp_path / "state" / folder
    place.mkdir(parents=True)
    place.chmod(0o777)
    house = House(tmp_path)
    house.start()
    (found,) = [r.reason for r in house.reported if isinstance(r.reason, StateExposed)]
    assert found == StateExposed(str(place))
    house.orchestrator.cleanup()
    place.chmod(0o775)  # a group that may write is meant to
    house.reported.clear()
    house.restart()
    assert not [r for r in house.reported if isinstance(r.reason, StateExposed)]
    house.orchestrator.cleanup()


def test_a_folder_of_another_user_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert exposed(tmp_path, tmp_path / "nodes" / "nothing") is None
    real = Path.stat

    def of_another(path: Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        return os.stat_result((*found[:4], 4711, *found[5:10]))

    monkeypatch.setattr(Path, "stat", of_another)
    assert exposed(tmp_path, tmp_path / "nodes" / "nothing") == StateExposed(str(tmp_path), 4711)


def test_notes_of_an_owner_that_cannot_be_true_are_left_out(tmp_path: Path) -> None:
    first, second = NodeFolder(tmp_path), NodeFolder(tmp_path)
    first.take()
    (first.path / "lock").write_text('{"pid": 7, "since": 1e300}')
    with pytest.raises(StateError, match="is in use by process 7"):
        second.take()
    first.give_back()


def test_what_killed_processes_left_half_made_goes_when_the_state_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / "memory", tmp_path / "temporary", tmp_path / "state" / "cache" / "trt"]
    monkeypatch.setattr("aegis_ros.orchestrator.state_folder.MEMORY", places[0])
    monkeypatch.setattr("tempfile.tempdir", str(places[1]))
    for place in places:
        (place / "aegis_scratch_x" / "deep").mkdir(parents=True)
        (place / "kept").touch()
    with Scratch(places[2]) as held:
        (places[2] / "aegis_scratch_x" / "deep").mkdir(parents=True)
        StateFolder(tmp_path / "state")
        assert held.exists()
    for place in places:
        assert [path.name for path in place.iterdir()] == ["kept"]


def test_a_folder_in_memory_goes_when_the_state_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    NodeState(tmp_path).close()
    monkeypatch.setattr(
        "aegis_ros.orchestrator.state_folder._why_not_written", lambda folder: "full"
    )
    state = NodeState(tmp_path)
    assert state.cache.parent.is_dir() and state.cache.parent != tmp_path
    state.close()
    assert not state.cache.parent.exists()
