"""An SQLite file that is moved aside and begun anew where it is damaged."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from aegis_ros.sandbox.scratch import Scratch

__all__ = ["Database", "copy_of", "is_locked"]


class Database:
    """Opens a file for each transaction; safe to use from several threads and processes.

    Args:
        path: the file; its folder is created.
        create: makes the tables that are not there.
        wait_s: for a lock that another process holds.

    Attributes:
        moved_aside: where a damaged file went.
    """

    def __init__(
        self, path: Path, create: Callable[[sqlite3.Connection], None], wait_s: float = 10.0
    ) -> None:
        """Open or create the file.

        Raises:
            OSError, sqlite3.Error: it cannot be written to.
        """
        self._path = path
        self._create = create
        self._wait_s = wait_s
        self.moved_aside: Path | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._prepare()
        except sqlite3.OperationalError:
            raise  # locked or read-only, not damaged
        except (sqlite3.DatabaseError, UnicodeDecodeError):  # its texts stand in SQLite's errors
            self.moved_aside = _move_aside(path)
            self._prepare()

    @contextmanager
    def connect(self, wait_s: float | None = None) -> Iterator[sqlite3.Connection]:
        """Open, commit or roll back, and close; wait for a lock as long as is said here."""
        patience_s = self._wait_s if wait_s is None else wait_s
        with closing(sqlite3.connect(self._path, timeout=patience_s)) as connection, connection:
            yield connection

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query, also from a disk that is full or read-only.

        With a write-ahead log, even a reader writes: an index of the log, beside the file. Where it
        cannot, a copy in memory is read.

        Raises:
            sqlite3.Error: it cannot be read.
        """
        try:
            with self.connect() as connection:
                return connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if is_locked(error):
                raise
            try:
                with copy_of(self._path) as copy:
                    return copy.execute(query, values).fetchall()
            except OSError:
                raise error from None

    def _prepare(self) -> None:
        with self.connect() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            self._create(connection)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)


@contextmanager
def copy_of(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy in memory of a file and its log, without touching either.

    Raises:
        OSError: there is no such file, or no room in memory.
    """
    with Scratch.in_memory() as scratch:
        copy = scratch / path.name
        shutil.copyfile(path, copy)
        log = path.with_name(f"{path.name}-wal")
        with suppress(FileNotFoundError):
            shutil.copyfile(log, copy.with_name(log.name))
        with closing(sqlite3.connect(copy)) as connection:
            yield connection


def is_locked(error: Exception) -> bool:
    """Return whether another process holds the lock of the file."""
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _move_aside(path: Path) -> Path:
    """Rename a damaged file and what belongs to it; return the new name."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):  # a log left behind would be replayed into the new file
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(f"{aside}{suffix}")
    return path.replace(aside)
