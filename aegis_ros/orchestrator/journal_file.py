"""The rows of a journal in an SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aegis_ros.sandbox.database import Database, copy_of

__all__ = ["JournalFile", "Row"]

_READ = "SELECT name, spec, since_ns FROM task ORDER BY position"
_READ_OLD = "SELECT name, spec, 0 FROM task ORDER BY position"  # before 0.2
_WRITE = "INSERT INTO task (name, spec, since_ns) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Row:
    """A task as it is stored; ``spec`` may hold anything, and ``since_ns`` is 0 where not known."""

    name: str
    spec: str | bytes
    since_ns: int


class JournalFile:
    """Read as a whole and written as a whole: it holds a few hundred rows at most.

    Args:
        path: the file.

    Attributes:
        moved_aside: where a damaged file went.
    """

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self.path = path
        self.moved_aside: Path | None = None
        self._database: Database | None = None

    def read(self, wait_s: float) -> list[Row]:
        """Return all rows, in order of admission.

        Args:
            wait_s: for a lock that another process holds.

        Raises:
            OSError, sqlite3.Error: it cannot be opened for writing, or read.
        """
        with self._opened(wait_s).connect(wait_s) as connection:
            return _rows(connection, _READ)

    def write(self, rows: Iterable[Row], wait_s: float) -> None:
        """Replace all rows.

        Args:
            rows: in order of admission.
            wait_s: for a lock that another process holds.

        Raises:
            OSError, sqlite3.Error: it cannot be written; the rows are as before.
        """
        try:
            with self._opened(wait_s).connect(wait_s) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("DELETE FROM task")
                connection.executemany(_WRITE, [(row.name, row.spec, row.since_ns) for row in rows])
        except (OSError, sqlite3.Error):
            self._database = None  # it may be gone or damaged: look again the next time
            raise

    def read_copy(self) -> list[Row]:
        """Return all rows of a file that cannot be written to, without touching it.

        Raises:
            OSError, sqlite3.Error: it cannot be read either.
        """
        with copy_of(self.path) as connection:
            try:
                return _rows(connection, _READ)
            except sqlite3.OperationalError:
                return _rows(connection, _READ_OLD)

    def _opened(self, wait_s: float) -> Database:
        if self._database is None:
            self._database = Database(self.path, _create, wait_s)
            self.moved_aside = self._database.moved_aside or self.moved_aside
        return self._database


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS task (position INTEGER PRIMARY KEY AUTOINCREMENT, "
        "name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, since_ns INTEGER NOT NULL DEFAULT 0)"
    )
    columns = {row[1] for row in connection.execute("PRAGMA table_info(task)")}
    if not {"position", "name", "spec"} <= columns:
        raise sqlite3.DatabaseError("its table has other columns")
    if "since_ns" not in columns:  # of a version before 0.2
        connection.execute("ALTER TABLE task ADD COLUMN since_ns INTEGER NOT NULL DEFAULT 0")


def _rows(connection: sqlite3.Connection, query: str) -> list[Row]:
    connection.text_factory = bytes  # text that is no UTF-8 would fail for all rows
    return [
        Row(_text(name), _readable(spec), since_ns if isinstance(since_ns, int) else 0)
        for name, spec, since_ns in connection.execute(query)
    ]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _readable(value: object) -> str | bytes:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
