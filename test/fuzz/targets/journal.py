"""The memory of a node: entries that nobody of ours wrote, and a file that a disk has bent.

An input that begins with ``SQLite format 3`` is the file, any other the entry of a task in a file
that holds another, good one.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from aegis_ros.config import parse_task, to_mapping
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.spec import TaskSpec
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try
from test.fuzz.targets.configuration import YAML_WORDS

__all__ = ["TARGET"]

_MAGIC = b"SQLite format 3\0"
_OLD = Path(__file__).parents[2] / "compatibility" / "v0_1" / "journal.sqlite"
_WORDS = (*YAML_WORDS, b'"', b'":', b"{}", b"[]", b"[" * 40, b"1e999", b"\\ud800", b"\\u0000")


def _task(name: str, **changes: object) -> TaskSpec:
    values = {
        "name": name,
        "model": "net.onnx",
        "input": {"topic": "/camera"},
        "output": {"topic": f"/{name}"},
        "period_ms": 100,
    }
    return parse_task({**values, **changes})


_GOOD = _task("good")


def _file(path: Path, entry: bytes) -> bytes:
    """Return the bytes of a journal with a good entry, and one that holds what is given."""
    journal = Journal(path, lambda reason: None)
    journal.open()
    journal.add(_GOOD, since_ns=5)
    journal.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO task (name, spec, since_ns) VALUES ('other', ?, 7)", (_text(entry),)
        )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.read_bytes()


def _text(entry: bytes) -> str | bytes:
    try:
        return entry.decode()
    except UnicodeDecodeError:
        return entry


def _seeds() -> Sequence[bytes]:
    entries = [
        json.dumps(to_mapping(_task("other"))).encode(),
        json.dumps(to_mapping(_task("other", criticality="low", segments=4))).encode(),
        json.dumps(to_mapping(_task("other", wcet_ms=2.5, dimensions={"batch": 1}))).encode(),
        b"{}",
        b"[" * 90_000,
    ]
    return [*entries, _OLD.read_bytes()]


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    folder, path = scratch / "state", scratch / "template.sqlite"
    template = _file(path, b"{}")
    path.write_bytes(template)

    def work(data: bytes) -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        file = folder / "journal.sqlite"
        if data.startswith(_MAGIC):
            file.write_bytes(data)
            return _opens(file)
        file.write_bytes(template)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE task SET spec=? WHERE name='other'", (_text(data),))
        return _opens(file, entry=True)

    yield work


def _opens(file: Path, *, entry: bool = False) -> bool:
    """Open a journal twice; return whether all that it held was good."""
    journal = Journal(file, lambda reason: None)
    found = {each.name: each for each in journal.open()}
    if entry:
        assert found["good"].spec == _GOOD, "a bad entry cost another one"
        assert set(found) == {"good", "other"}
    assert all(each.problem for each in found.values() if each.spec is None)
    added = _task("added")
    journal.add(added)
    journal.close()
    again = Journal(file, lambda reason: None)
    kept = {each.name: each for each in again.open()}
    again.close()
    assert kept["added"].spec == added, "what was added to a mended file is not there"
    return all(each.spec is not None for each in found.values())


TARGET = Target(
    name="journal",
    title="journal",
    seeds=_seeds,
    mutate=Mutator(_WORDS, most_bytes=256 * 1024, text=True),
    opened=_opened,
    weight=0.2,
    brief=60,
)
