"""Tasks that should run and were not admitted stay visible until that is settled."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.orchestrator import ResultCode
from aegis_ros.orchestrator.admitted import Origin
from aegis_ros.orchestrator.rejected import Rejected
from aegis_ros.rationale import Rule
from aegis_ros.rationale.requests import JournalFound, JournalNotRead, TaskForgotten
from test.orchestrator.house import House
from test.waiting import until


def _rejected(house: House) -> list[str]:
    return [each.name for each in house.orchestrator.status().rejected]


def test_a_task_of_the_file_stays_until_one_of_its_name_is_admitted(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.restart(house.task("a", wcet_ms=60), house.task("b", wcet_ms=60))
    (shown,) = house.orchestrator.status().rejected
    assert (shown.name, shown.from_file, shown.origin) == (
        "b",
        True,
        "from the configuration file",
    )
    assert shown.rationale.rule is Rule.UTILIZATION and shown.rationale in house.reported
    assert not house.orchestrator.register(house.task("b", wcet_ms=70)).accepted
    assert house.orchestrator.status().rejected == (shown,), "a request changes nothing"
    assert house.orchestrator.register(house.task("b", wcet_ms=10)).accepted
    assert _rejected(house) == [] and sorted(house.names()) == ["a", "b"]
    house.orchestrator.cleanup()


def test_a_task_of_the_file_is_reported_no_longer_once_it_is_unregistered(tmp_path: Path) -> None:
    house = House(tmp_path)
    tasks = (house.task("a", wcet_ms=60), house.task("b", wcet_ms=60))
    house.restart(*tasks)
    answer = house.orchestrator.unregister("b")
    assert answer.accepted and answer.result is ResultCode.DONE
    assert answer.rationale.reason == TaskForgotten("b", from_file=True)
    assert _rejected(house) == []
    assert house.orchestrator.unregister("b").rationale.rule is Rule.UNKNOWN_TASK
    house.restart(*tasks)
    assert _rejected(house) == ["b"]
    house.orchestrator.cleanup()
    assert _rejected(house) == []


def test_a_remembered_task_stays_until_it_is_unregistered(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    house.orchestrator.register(house.task("a", wcet_ms=60))
    house.restart(house.task("filed", wcet_ms=60))
    (shown,) = house.orchestrator.status().rejected
    assert shown.name == "a" and not shown.from_file
    assert shown.origin.startswith("remembered from 20")
    assert house.orchestrator.unregister("a").rationale.reason == TaskForgotten("a")
    assert _rejected(house) == []
    house.orchestrator.cleanup()


def test_an_entry_that_cannot_be_read_is_shown_as_well(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    for name in ("a", "b"):
        house.orchestrator.register(house.task(name))
    house.orchestrator.cleanup()
    with sqlite3.connect(house.journal) as connection:
        connection.execute("UPDATE task SET spec = '{}'")
    connection.close()
    house.restart(house.task("b"))  # of which the file says what it is
    (shown,) = house.orchestrator.status().rejected
    assert shown.name == "a" and "cannot be restored" in shown.rationale.sentence
    house.orchestrator.cleanup()


def test_what_a_journal_shows_too_late_is_shown_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.orchestrator.journal._PATIENCE_S", 0.0)
    monkeypatch.setattr("aegis_ros.orchestrator.journal._RETRY_S", 0.01)
    house = House(tmp_path)
    house.start()
    for name in ("a", "b"):
        house.orchestrator.register(house.task(name))
    house.orchestrator.cleanup()
    other = sqlite3.connect(house.journal, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("DELETE FROM task WHERE name = 'nobody'")
    house.reported.clear()
    house.restart(house.task("b"))
    assert any(isinstance(each.reason, JournalNotRead) for each in house.reported)
    assert _rejected(house) == []
    other.close()
    until(lambda: _rejected(house))
    (shown,) = house.orchestrator.status().rejected
    assert shown.name == "a" and shown.origin.startswith("remembered from 20")
    assert isinstance(shown.rationale.reason, JournalFound)
    house.orchestrator.cleanup()


def test_requests_that_are_rejected_or_cancelled_are_not_kept(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    for number in range(20):
        assert not house.orchestrator.register(house.task(f"t{number}", wcet_ms=200)).accepted
    assert _rejected(house) == []
    house.orchestrator.cleanup()


def test_there_are_never_more_than_so_many(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    why = house.orchestrator.register(house.task(wcet_ms=200)).rationale
    rejected = Rejected()
    for number in range(300):
        rejected.add(f"t{number}", Origin(from_file=True), why)
    assert [each.name for each in rejected] == [f"t{number}" for number in range(256)]
    house.orchestrator.cleanup()


def test_their_reasons_together_have_a_bound(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.start()
    why = house.orchestrator.register(house.task(wcet_ms=200)).rationale
    house.orchestrator.cleanup()
    long = replace(why, sentence="why " * 5_000)
    rejected = Rejected()
    rejected.add("first", Origin(from_file=True), long)
    assert [each.rationale for each in rejected] == [long]
    for number in range(300):
        rejected.add(f"t{number}", Origin(from_file=True), long)
    sentences = [each.rationale.sentence for each in rejected]
    assert len(sentences) == 256 and sum(map(len, sentences)) <= 32 * 1024
    assert all(each.startswith("why why") and "~/rationale" in each for each in sentences)
