"""The journal survives bad entries, locks, and disks that are full, read-only or gone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.config import parse_task, restored_task, to_mapping
from aegis_ros.errors import StoppedError
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.journal_file import JournalFile
from aegis_ros.rationale import Reason
from aegis_ros.rationale.requests import (
    JournalFound,
    JournalLocked,
    JournalNotRead,
    JournalNotWritten,
    JournalWritten,
)
from aegis_ros.sandbox.stopping import Stop
from aegis_ros.spec import TaskSpec

WAIT_S = 100.0


def task(name: str, period_ms: float = 100) -> TaskSpec:
    return parse_task(
        {
            "name": name,
            "model": "net.onnx",
            "input": {"topic": f"/{name}/image"},
            "output": {"topic": f"/{name}/result"},
            "period_ms": period_ms,
        }
    )


class Notebook:
    """A journal on a file, and what it reports."""

    def __init__(self, path: Path, *, opened: bool = True) -> None:
        self.path = path
        self.reported: list[Reason] = []
        self._news = threading.Condition()
        self.journal = Journal(path, self._note)
        self.entries = self.journal.open() if opened else []

    def _note(self, reason: Reason) -> None:
        with self._news:
            self.reported.append(reason)
            self._news.notify_all()

    def await_report(self, kind: type[Reason]) -> Reason:
        def found() -> Reason | None:
            return next((each for each in self.reported if isinstance(each, kind)), None)

        with self._news:
            assert self._news.wait_for(lambda: found() is not None, WAIT_S), self.reported
        reason = found()
        assert reason is not None
        return reason

    @property
    def kinds(self) -> list[type]:
        return [type(each) for each in self.reported]


@pytest.fixture
def notebooks() -> Iterator[list[Notebook]]:
    made: list[Notebook] = []
    yield made
    for each in made:
        each.journal.close()


@pytest.fixture
def notebook(tmp_path: Path, notebooks: list[Notebook]) -> Notebook:
    notebooks.append(Notebook(tmp_path / "journal.sqlite"))
    return notebooks[-1]


def stored(path: Path) -> list[str]:
    return [row.name for row in JournalFile(path).read(1.0)]


def test_tasks_come_back_in_the_order_of_admission_with_their_dates(notebook: Notebook) -> None:
    journal = notebook.journal
    before = time.time_ns()
    for name in ("a", "b", "c"):
        journal.add(task(name))
    journal.remove("b")
    journal.add(task("a", period_ms=50))  # admitted anew
    journal.close()
    entries = journal.open()
    assert [(each.name, each.spec) for each in entries] == [
        ("c", task("c")),
        ("a", task("a", period_ms=50)),
    ]
    assert all(before <= each.since_ns <= time.time_ns() for each in entries)
    journal.add(task("c"), entries[0].since_ns)
    assert journal.since_ns("c") == entries[0].since_ns
    assert notebook.kinds == []


def test_an_entry_that_fails_in_a_way_that_nobody_foresaw_costs_that_entry_alone(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restored(values: Any, source: str) -> tuple[TaskSpec, tuple[str, ...]]:
        if "bad" in source:
            raise KeyError("a mistake of this package")
        return restored_task(values, source)

    monkeypatch.setattr("aegis_ros.orchestrator.journal.restored_task", restored)
    for name in ("bad", "good"):
        notebook.journal.add(task(name))
    bad, good = notebook.journal.open()
    assert good.spec == task("good")
    assert bad.spec is None and "KeyError: 'a mistake of this package'" in bad.problem


def test_a_date_that_is_none_costs_nothing(notebook: Notebook) -> None:
    notebook.journal.add(task("a"))
    with sqlite3.connect(notebook.path) as connection:
        connection.execute("UPDATE task SET since_ns = 'yesterday'")
    connection.close()
    (entry,) = notebook.journal.open()
    assert (entry.spec, entry.since_ns) == (task("a"), 0)


@pytest.mark.parametrize("name", ["CAST(X'FFFE' AS TEXT)", "X'FFFE'", "X'00'", "''"])
def test_a_name_that_is_none_costs_that_entry_alone(notebook: Notebook, name: str) -> None:
    for each in ("before", "bad", "after"):
        notebook.journal.add(task(each))
    with sqlite3.connect(notebook.path) as connection:
        connection.execute(f"UPDATE task SET name = {name} WHERE name = 'bad'")
    connection.close()
    before, bad, after = notebook.journal.open()
    assert (before.spec, after.spec) == (task("before"), task("after"))
    assert bad.spec is None and "holds task bad" in bad.problem
    notebook.journal.remove(bad.name)
    assert stored(notebook.path) == ["before", "after"]


@pytest.mark.parametrize(
    "entry",
    [
        b"{}",
        b"",
        b"null",
        b"\xff\xfe rubbish",
        b"[" * 90_000,
        b'{"name": {"name": 1}}',
        json.dumps(to_mapping(task("other"))).encode(),
        json.dumps(to_mapping(task("bad")) | {"period_ms": -1}).encode(),
    ],
)
def test_an_entry_that_no_longer_reads_costs_that_entry_alone(
    notebook: Notebook, entry: bytes
) -> None:
    journal = notebook.journal
    for name in ("before", "bad", "after"):
        journal.add(task(name))
    with sqlite3.connect(notebook.path) as connection:
        connection.execute("UPDATE task SET spec = CAST(? AS TEXT) WHERE name = 'bad'", (entry,))
    connection.close()
    before, bad, after = journal.open()
    assert before.spec == task("before") and after.spec == task("after")
    assert bad.spec is None and "bad" in bad.problem
    journal.add(task("more"))
    assert stored(notebook.path) == ["before", "bad", "after", "more"], "nobody asked to drop it"
    journal.remove("bad")
    assert stored(notebook.path) == ["before", "after", "more"]


def test_a_locked_file_is_waited_for_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Notebook(path)
    first.journal.add(task("a"))
    first.journal.close()
    other = locked_as_a_whole(path)
    second = Notebook(path, opened=False)
    opened: list[str] = []
    thread = threading.Thread(
        target=lambda: opened.extend(each.name for each in second.journal.open())
    )
    thread.start()
    second.await_report(JournalLocked)
    other.close()
    thread.join(WAIT_S)
    assert opened == ["a"]
    assert second.kinds == [JournalLocked]


def test_waiting_for_a_locked_file_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Notebook(path).journal.close()
    other = locked_as_a_whole(path)
    notebook, stop = Notebook(path, opened=False), Stop()
    raised: list[BaseException] = []

    def work() -> None:
        with stop.applied():
            try:
                notebook.journal.open()
            except StoppedError as error:
                raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    notebook.await_report(JournalLocked)
    stop.set()
    thread.join(WAIT_S)
    assert len(raised) == 1
    other.close()


def test_a_file_that_stays_locked_is_read_later_and_what_came_meanwhile_is_kept(
    tmp_path: Path, notebooks: list[Notebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.orchestrator.journal._PATIENCE_S", 0.0)
    path = tmp_path / "journal.sqlite"
    first = Notebook(path)
    for name in ("a", "b"):
        first.journal.add(task(name))
    first.journal.close()
    other = locked_as_a_whole(path)
    second = Notebook(path)
    notebooks.append(second)
    assert second.entries == []
    assert "locked" in str(second.await_report(JournalNotRead))
    second.journal.add(task("c"))
    second.journal.remove("b")
    other.close()
    found = second.await_report(JournalFound)
    assert isinstance(found, JournalFound) and found.tasks == ("a",)
    assert stored(path) == ["a", "c"]


def test_a_file_that_cannot_be_written_stops_nothing_and_catches_up(notebook: Notebook) -> None:
    notebook.journal.add(task("a"))
    other = locked_for_writing(notebook.path)
    notebook.journal.add(task("b"))
    notebook.journal.remove("a")
    assert notebook.kinds == [JournalNotWritten], "once, and not for each change"
    assert notebook.journal.remembers("b") and not notebook.journal.remembers("a")
    other.close()
    notebook.await_report(JournalWritten)
    assert stored(notebook.path) == ["b"]
    notebook.journal.add(task("c"))
    assert stored(notebook.path) == ["b", "c"]


def test_a_file_that_is_removed_or_damaged_meanwhile_is_written_anew(notebook: Notebook) -> None:
    notebook.journal.add(task("a"))
    for harm in (lambda: notebook.path.unlink(), lambda: notebook.path.write_bytes(b"x" * 9000)):
        for log in notebook.path.parent.glob("journal.sqlite-*"):
            log.unlink()
        harm()
        notebook.reported.clear()
        notebook.journal.add(task(f"after_{harm.__code__.co_firstlineno}_{id(harm)}"[:20]))
        notebook.await_report(JournalWritten)
        assert "a" in stored(notebook.path)


def test_a_folder_that_is_gone_comes_back(notebook: Notebook) -> None:
    notebook.journal.add(task("a"))
    shutil.rmtree(notebook.path.parent)
    notebook.path.parent.write_text("a file where the folder should be")
    notebook.journal.add(task("b"))
    notebook.await_report(JournalNotWritten)
    notebook.path.parent.unlink()
    notebook.await_report(JournalWritten)
    assert stored(notebook.path) == ["a", "b"]


def test_what_a_closed_journal_lacks_is_written_if_that_is_possible_by_then(
    tmp_path: Path,
) -> None:
    notebook = Notebook(tmp_path / "journal.sqlite")
    other = locked_for_writing(notebook.path)
    notebook.journal.add(task("a"))
    other.close()
    notebook.journal.close()
    assert stored(notebook.path) == ["a"]


def test_a_file_that_can_only_be_read_is_read(
    tmp_path: Path, notebooks: list[Notebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    first = Notebook(path)
    first.journal.add(task("a"))
    first.journal.close()
    with sqlite3.connect(path) as connection:  # what a crash leaves lies in the log
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("UPDATE task SET since_ns = 7")
        connection.commit()

        def refuse(*arguments: object) -> None:
            raise sqlite3.OperationalError("attempt to write a readonly database")

        with monkeypatch.context() as patch:
            patch.setattr("aegis_ros.orchestrator.journal_file.Database", refuse)
            notebook = Notebook(path)
            notebooks.append(notebook)
        (entry,) = notebook.entries
        assert entry.spec == task("a") and entry.since_ns == 7
        assert "readonly" in str(notebook.await_report(JournalNotWritten))
    connection.close()
    notebook.await_report(JournalWritten)


def test_the_first_start_on_a_disk_that_cannot_be_written_remembers_nothing_and_says_so(
    tmp_path: Path, notebooks: list[Notebook]
) -> None:
    place = tmp_path / "state"
    place.write_text("a file where the folder should be")
    notebook = Notebook(place / "journal.sqlite")
    notebooks.append(notebook)
    assert notebook.entries == []
    notebook.journal.add(task("a"))
    place.unlink()
    notebook.await_report(JournalWritten)
    assert stored(notebook.path) == ["a"]


def locked_for_writing(path: Path) -> sqlite3.Connection:
    """Another process in the middle of a transaction."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def locked_as_a_whole(path: Path) -> sqlite3.Connection:
    """Another process that lets nobody read."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("DELETE FROM task WHERE name = 'nobody'")
    return connection


@pytest.mark.parametrize("bent", [b"specDTEXT", b"spec(\xd5EXT"])
def test_a_file_whose_table_is_bent_is_moved_aside_and_begun_anew(
    bent: bytes, tmp_path: Path
) -> None:
    """It was told as not read, and nothing was remembered any more, start after start."""
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, lambda reason: None)
    journal.open()
    journal.add(task("old"))
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert path.read_bytes().count(b"spec TEXT") == 1
    path.write_bytes(path.read_bytes().replace(b"spec TEXT", bent))
    journal = Journal(path, lambda reason: None)
    assert journal.open() == []
    assert journal.moved_aside is not None
    journal.add(task("new"))
    journal.close()
    journal = Journal(path, lambda reason: None)
    assert [each.name for each in journal.open()] == ["new"]
    journal.close()


def test_forgetting_does_not_wait_for_the_disk_and_the_file_follows(notebook: Notebook) -> None:
    journal = notebook.journal
    for name in ("a", "b", "c"):
        journal.add(task(name))
    journal.forget("a")
    assert not journal.remembers("a")
    assert stored(notebook.path) == ["a", "b", "c"]
    journal.write()
    assert stored(notebook.path) == ["b", "c"]
    journal.forget("b")
    journal.close()
    assert stored(notebook.path) == ["c"]


def test_what_is_in_memory_is_there_while_the_disk_takes_its_time(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, reached, opened = notebook.journal, threading.Event(), threading.Event()
    journal.add(task("a"))
    write = JournalFile.write

    def slow(*arguments: Any) -> None:
        reached.set()
        assert opened.wait(WAIT_S)
        write(*arguments)

    monkeypatch.setattr(JournalFile, "write", slow)
    adding = threading.Thread(target=lambda: journal.add(task("b")), daemon=True)
    adding.start()
    assert reached.wait(WAIT_S)
    seen: list[bool] = []

    def look() -> None:
        journal.forget("a")
        seen.extend([journal.remembers("a"), journal.remembers("b"), journal.since_ns("b") > 0])

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    looking.join(WAIT_S)
    assert seen == [False, True, True]
    opened.set()
    adding.join(WAIT_S)
    journal.write()
    assert stored(notebook.path) == ["b"]


def test_whoever_catches_up_late_writes_nothing_once_the_journal_is_closed(
    notebook: Notebook,
) -> None:
    notebook.journal.add(task("a"))
    notebook.journal.close()
    notebook.journal._catch_up()
    assert stored(notebook.path) == ["a"]
