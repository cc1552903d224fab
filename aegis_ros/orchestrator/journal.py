"""Remembers what was admitted, so that a restarted orchestrator comes back with it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aegis_ros.config import read_json, restored_task, to_mapping
from aegis_ros.errors import AegisError
from aegis_ros.orchestrator.journal_file import JournalFile, Row
from aegis_ros.rationale import Reason
from aegis_ros.rationale.requests import (
    JournalFound,
    JournalLocked,
    JournalNotRead,
    JournalNotWritten,
    JournalWritten,
)
from aegis_ros.sandbox.database import is_locked
from aegis_ros.sandbox.stopping import check_stop
from aegis_ros.spec import TaskSpec

__all__ = ["Journal", "Remembered"]

_BRIEF_S = 0.05  # while somebody waits for an answer
_PATIENCE_S = 10.0  # at the start, for a lock that another process holds
_STEP_S = 0.5
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class Remembered:
    """A task of an earlier run.

    Attributes:
        name: of the task.
        spec: the task; ``None`` where its entry no longer reads.
        since_ns: when it was admitted (nanoseconds since 1970), 0 where that is not known.
        problem: why its entry no longer reads.
        left_out: keys of the entry that have no effect, and were ignored when it was written.
    """

    name: str
    spec: TaskSpec | None
    since_ns: int
    problem: str = ""
    left_out: tuple[str, ...] = ()


class Journal:
    """Tasks admitted through a service, in memory and in an SQLite file.

    Tasks of the configuration file are not kept here: the file is their memory. A disk that is full
    or read-only, or a file that another process has locked, stops nothing: what the file lacks is
    written as soon as that is possible, and both are reported. Safe to use from several threads.

    Args:
        path: the file. A damaged one is moved aside, to where ``moved_aside`` then says.
        report: called with what befalls the file.
    """

    def __init__(self, path: Path, report: Callable[[Reason], object]) -> None:
        """Open nothing yet."""
        self._file = JournalFile(path)
        self._report = report
        self._lock = threading.Lock()  # of what is in memory: never held while the disk works
        self._writing = threading.RLock()  # of the file; taken before the other one
        self._rows: dict[str, Row] = {}
        self._removed: set[str] = set()  # while it is not known what the file holds
        self._unwritten = False  # whether the file is to be written
        self._unread = False
        self._behind = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file went."""
        return self._file.moved_aside

    def open(self) -> list[Remembered]:
        """Return the tasks of earlier runs in order of admission; waits for a locked file.

        Raises:
            StoppedError: it was asked to stop while it waited.
        """
        self._ended.clear()
        with self._writing:
            rows = {row.name: row for row in self._read()}
            with self._lock:
                self._rows = rows
            return [_remembered(row) for row in rows.values()]

    def close(self) -> None:
        """Write what the file lacks, if that is possible, and forget everything."""
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=2 * _RETRY_S)
        with self._writing:
            rows = self._taken()
            if rows is not None and not self._behind:
                with suppress(OSError, sqlite3.Error):
                    self._file.write(rows, _BRIEF_S)
            with self._lock:
                self._rows, self._removed = {}, set()
                self._unread = self._behind = False

    def remembers(self, name: str) -> bool:
        """Return whether a task is to be admitted again after a restart."""
        with self._lock:
            return name in self._rows

    def since_ns(self, name: str) -> int:
        """Return since when a task is remembered (nanoseconds since 1970), 0 for not known."""
        with self._lock:
            row = self._rows.get(name)
        return 0 if row is None else row.since_ns

    def add(self, spec: TaskSpec, since_ns: int | None = None) -> None:
        """Remember a task.

        Args:
            spec: the task.
            since_ns: when it was admitted; now, if not given.
        """
        row = Row(
            spec.name,
            json.dumps(to_mapping(spec)),
            time.time_ns() if since_ns is None else since_ns,
        )
        with self._lock:
            if self._rows.get(spec.name) == row:
                return
            self._rows.pop(spec.name, None)
            self._rows[spec.name] = row
            self._removed.discard(spec.name)
            self._unwritten = True
        self.write()

    def remove(self, name: str) -> None:
        """Forget a task, in the file as well; unknown names are ignored."""
        self.forget(name)
        self.write()

    def forget(self, name: str) -> None:
        """Forget a task; :meth:`write` takes it out of the file. Never waits for the disk."""
        with self._lock:
            if self._unread:
                self._removed.add(name)
            if self._rows.pop(name, None) is not None:
                self._unwritten = True

    def write(self) -> None:
        """Have the file hold what is remembered, if it does not."""
        with self._writing:
            rows = self._taken()
            if rows is None or self._behind:
                return  # nothing has changed, or the thread that catches up writes it
            try:
                self._file.write(rows, _BRIEF_S)
            except (OSError, sqlite3.Error) as error:
                self._fall_behind(JournalNotWritten(str(self._file.path), str(error)))

    def _taken(self) -> list[Row] | None:
        """Return the rows that are to be written now; ``None`` where nothing has changed."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, False
            return list(self._rows.values()) if unwritten else None

    def _read(self) -> list[Row]:
        end = time.monotonic() + _PATIENCE_S
        wait_s = _BRIEF_S
        while True:
            try:
                return self._file.read(wait_s)
            except (OSError, sqlite3.Error) as error:
                problem = error
            if not is_locked(problem) or time.monotonic() >= end:
                break
            if wait_s == _BRIEF_S:
                self._report(JournalLocked(str(self._file.path), round(_PATIENCE_S * 1e9)))
                wait_s = _STEP_S
            check_stop()
        try:
            rows = [] if is_locked(problem) else self._file.read_copy()
            self._unread = is_locked(problem)
        except FileNotFoundError:
            rows = []
        except (OSError, sqlite3.Error):
            rows, self._unread = [], True
        kind = JournalNotRead if self._unread else JournalNotWritten
        self._fall_behind(kind(str(self._file.path), str(problem)))
        return rows

    def _fall_behind(self, reason: Reason) -> None:
        self._behind = True
        self._report(reason)
        self._thread = threading.Thread(target=self._catch_up, name="journal", daemon=True)
        self._thread.start()

    def _catch_up(self) -> None:
        """Try again until the file holds what it should, or the journal is closed."""
        while True:
            ended = self._ended.wait(_RETRY_S)
            with self._writing:
                if not self._behind or self._wrote_all():  # closed meanwhile: nothing to write
                    return
            if ended:
                return

    def _wrote_all(self) -> bool:
        found: tuple[str, ...] = ()
        try:
            if self._unread:
                there = self._file.read(_BRIEF_S)
                with self._lock:
                    kept = [row for row in there if row.name not in self._removed]
                    found = tuple(row.name for row in kept if row.name not in self._rows)
                    self._rows = {row.name: row for row in kept} | self._rows
                    self._unread = False
            with self._lock:
                rows, self._unwritten = list(self._rows.values()), False
            self._file.write(rows, _BRIEF_S)
        except (OSError, sqlite3.Error):
            return False
        self._behind = False
        self._report(JournalFound(found) if found else JournalWritten())
        return True


def _remembered(row: Row) -> Remembered:
    """Read an entry; whatever it holds costs that entry alone."""
    where = f"journal entry {row.name}"
    try:
        spec, left_out = restored_task(read_json(row.spec, where), where)
    except AegisError as error:
        return Remembered(row.name, None, row.since_ns, str(error))
    except Exception as error:  # nobody knows what was written there
        return Remembered(row.name, None, row.since_ns, f"{where}: {type(error).__name__}: {error}")
    if spec.name != row.name:
        problem = f"{where} holds task {spec.name}"
        return Remembered(row.name, None, row.since_ns, problem)
    return Remembered(row.name, spec, row.since_ns, left_out=left_out)
