"""Remembers what was admitted, so that a restarted orchestrator comes back with it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from aegis_ros.config import parse_task, read_json, to_mapping
from aegis_ros.errors import AegisError, StateError
from aegis_ros.sandbox.database import Database
from aegis_ros.spec import TaskSpec

__all__ = ["Journal"]


class Journal:
    """Tasks admitted through a service, in an SQLite file.

    Tasks of the configuration file are not kept here: the file is their memory.

    Args:
        path: the file; its folder is created. A damaged file is moved aside, to where
            ``moved_aside`` then says.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StateError: it cannot be written to.
        """
        try:
            self._database = Database(path, _create)
        except (OSError, sqlite3.Error) as error:
            raise StateError(
                f"the journal cannot be written ({error})",
                where="state_dir",
                value=str(path.parent),
                expected="a folder that can be written to",
                hint="Give another state_dir",
            ) from error

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file went."""
        return self._database.moved_aside

    def tasks(self) -> tuple[list[TaskSpec], list[str]]:
        """Return the tasks in order of admission, and sentences on entries that no longer read."""
        try:
            with self._database.connect() as connection:
                rows = connection.execute(
                    "SELECT name, spec FROM task ORDER BY position"
                ).fetchall()
        except sqlite3.Error as error:
            return [], [f"the journal cannot be read ({error}); no task is restored from it"]
        specs, problems = [], []
        for name, text in rows:
            try:
                entry = f"journal entry {name}"
                specs.append(parse_task(read_json(text, entry), entry))
            except AegisError as error:
                problems.append(f"task {name} of the journal cannot be restored: {error}")
        return specs, problems

    def add(self, spec: TaskSpec) -> None:
        """Remember a task.

        Raises:
            StateError: it cannot be written.
        """
        try:
            with self._database.connect() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO task (name, spec) VALUES (?, ?)",
                    (spec.name, json.dumps(to_mapping(spec))),
                )
        except sqlite3.Error as error:
            raise StateError(f"the journal cannot be written ({error})") from error

    def remove(self, name: str) -> None:
        """Forget a task; unknown names are ignored.

        Raises:
            StateError: it cannot be written.
        """
        try:
            with self._database.connect() as connection:
                connection.execute("DELETE FROM task WHERE name=?", (name,))
        except sqlite3.Error as error:
            raise StateError(f"the journal cannot be written ({error})") from error


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS task (position INTEGER PRIMARY KEY AUTOINCREMENT, "
        "name TEXT NOT NULL UNIQUE, spec TEXT NOT NULL)"
    )
