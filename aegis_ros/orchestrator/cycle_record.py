"""Keeps every cycle of the generators in an SQLite file, on a thread of its own."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from aegis_ros.sandbox.database import Database
from aegis_ros.sandbox.storage import refusal_of_disk

__all__ = ["Cycle", "CycleRecord"]

_VERSION = 1
_MOST_WAITING = 10_000
_MOST_TEXT = 8_000  # characters
_TOGETHER_S = 0.5  # one transaction for all that comes within
_RETRY_S = 1.0  # of a disk that refuses
_WAIT_S = 0.2  # for a lock that another process holds
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cycle:
    """One row: a bucket that ran, and what was decided after it.

    Attributes:
        time_ns: when it ended, or memory was not there (nanoseconds since 1970).
        task: the generator.
        prefill: 1 for a chunk of a prompt, 0 for a decode.
        batch: answers that were decoded in it; 0 for a chunk.
        context: longest sequence in it, tokens.
        precision: that it ran with; empty where there is one.
        tokens: that it generated.
        tokens_per_s: of the generator, over the last few seconds.
        latency_ns: from its beginning to its end.
        arena_bytes: in use when it ended.
        arena_peak_bytes: the most that was in use since the generator was admitted.
        device_use: share of the lane that was busy lately, 0..1; -1 for unknown.
        decision: what changed, as a sentence; empty for nothing.
        reason: why, as JSON; empty for nothing.
        out_of_memory: 1 where memory for a request could not be taken.
    """

    time_ns: int
    task: str
    prefill: int
    batch: int
    context: int
    precision: str
    tokens: int
    tokens_per_s: float
    latency_ns: int
    arena_bytes: int
    arena_peak_bytes: int
    device_use: float
    decision: str = ""
    reason: str = ""
    out_of_memory: int = 0


_NAMES = tuple(each.name for each in fields(Cycle))
_TYPES = {"int": "INTEGER", "str": "TEXT", "float": "REAL"}
_COLUMNS = ", ".join(f"{each.name} {_TYPES[str(each.type)]} NOT NULL" for each in fields(Cycle))
_SCHEMA = f"CREATE TABLE IF NOT EXISTS cycle (number INTEGER PRIMARY KEY, {_COLUMNS})"
_INSERT = f"INSERT INTO cycle ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"
_FORGET = "DELETE FROM cycle WHERE number <= (SELECT MAX(number) FROM cycle) - ?"
_LATEST = f"SELECT {', '.join(_NAMES)} FROM cycle ORDER BY number DESC LIMIT ?"


class CycleRecord:
    """The last cycles of all generators. :meth:`note` never waits; for any thread.

    A disk that refuses is reported once; cycles wait, up to a bound, and are written when it takes
    them again. What had to be dropped then is counted in :attr:`dropped`. A damaged file is moved
    aside and a new one begun.

    Args:
        path: the file; its folder is created.
        most_rows: that are kept; the oldest go.
        on_problem: called with what befalls the file.

    Attributes:
        dropped: cycles that never got into the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        most_rows: int = 500_000,
        on_problem: Callable[[str], object] = lambda problem: None,
    ) -> None:
        """Start the thread; the file is opened there."""
        self.path = path
        self.dropped = 0
        self._counting = threading.Lock()
        self._most_rows = most_rows
        self._on_problem = on_problem
        self._waiting: queue.SimpleQueue[Cycle | None] = queue.SimpleQueue()
        self._left: list[Cycle] = []  # taken from there, and not written yet
        self._database: Database | None = None
        self._refuses = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cycles", daemon=True)
        self._thread.start()

    def note(self, cycle: Cycle) -> None:
        """Add a cycle."""
        if self._ended.is_set() or self._waiting.qsize() + len(self._left) >= _MOST_WAITING:
            self._drop(1)
            return
        self._waiting.put(cycle)

    def close(self) -> None:
        """Write what waits, if the disk takes it, and end."""
        self._ended.set()
        self._waiting.put(None)
        self._thread.join()

    def latest(self, count: int) -> list[Cycle]:
        """Return the last cycles that are in the file, the oldest first.

        Raises:
            OSError, sqlite3.Error: it cannot be read.
        """
        rows = Database(self.path, _create, _WAIT_S).read(_LATEST, (count,))
        return [Cycle(*row) for row in reversed(rows)]

    def _run(self) -> None:
        while not self._ended.is_set():
            self._take()
            if self._left and not self._write() and not self._ended.is_set():
                self._ended.wait(_RETRY_S)
        self._take()
        if self._left and not self._write():
            self._drop(len(self._left))

    def _drop(self, count: int) -> None:
        with self._counting:
            self.dropped += count

    def _take(self) -> None:
        """Wait for a cycle, and a moment for more; take all that wait."""
        found: list[Cycle | None] = []
        if not self._left and not self._ended.is_set():
            found.append(self._waiting.get())
            self._ended.wait(_TOGETHER_S)
        with suppress(queue.Empty):
            while True:
                found.append(self._waiting.get_nowait())
        self._left += [each for each in found if each is not None]

    def _write(self) -> bool:
        """Return whether the disk took what is left; when it first refuses, report why."""
        try:
            if self._database is None:
                self._database = self._opened()
            with self._database.connect(_WAIT_S) as connection:
                connection.executemany(_INSERT, map(_row, self._left))
                connection.execute(_FORGET, (self._most_rows,))
        except (OSError, sqlite3.Error) as error:
            self._database = None  # it may be gone or damaged: look again the next time
            if not self._refuses:
                self._refuses = True
                self._report(
                    "cycles of generators cannot be written "
                    f"({refusal_of_disk(error, self.path.parent)})"
                )
            return False
        self._refuses = False
        self._left = []
        return True

    def _opened(self) -> Database:
        database = Database(self.path, _create, _WAIT_S)
        if database.moved_aside is not None:
            self._report(
                f"cycles of generators in {self.path} were damaged; the damaged file is now "
                f"{database.moved_aside}"
            )
        return database

    def _report(self, problem: str) -> None:
        with suppress(Exception):  # of whoever listens: the record goes on
            self._on_problem(problem)


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_SCHEMA)
    columns = {row[1] for row in connection.execute("PRAGMA table_info(cycle)")}
    if not {"number", *_NAMES} <= columns:
        raise sqlite3.DatabaseError("its table has other columns")
    connection.execute(f"PRAGMA user_version={_VERSION}")


def _row(cycle: Cycle) -> tuple[Any, ...]:
    """Return a row that SQLite takes, whatever the engine counted."""
    return tuple(_value(each) for each in astuple(cycle))


def _value(value: object) -> object:
    if isinstance(value, str):
        return value[:_MOST_TEXT].encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return max(-_LARGEST, min(_LARGEST, value))
    return value if value == value else 0.0  # a NaN would be NULL
