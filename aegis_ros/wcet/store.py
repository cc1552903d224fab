"""Keeps WCET profiles across restarts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import numpy as np

from aegis_ros.errors import ProfileError
from aegis_ros.wcet.profile import Profile, ProfileKey

__all__ = ["ProfileStore", "move_aside"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS profile (
  network TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
  model_digest TEXT NOT NULL, segments INTEGER NOT NULL, samples BLOB NOT NULL,
  measured_at_ns INTEGER NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (network, backend, device))
"""


def move_aside(path: Path) -> Path:
    """Rename a damaged SQLite file and what belongs to it; return the new name."""
    aside = path.with_name(f"{path.name}.damaged-{time.time_ns()}")
    for suffix in ("-wal", "-shm"):  # a log left behind would be replayed into the new file
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(f"{aside}{suffix}")
    return path.replace(aside)


class ProfileStore:
    """Profiles in an SQLite file; safe to use from several threads and processes.

    A file that is damaged is moved aside and a new one begun: profiles can be measured again.
    ``moved_aside`` then names where the damaged one went.

    Args:
        path: the file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            ProfileError: the folder cannot be written to.
        """
        self._path = path
        self.moved_aside: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._create()
            except sqlite3.OperationalError:
                raise  # locked or read-only, not damaged
            except sqlite3.DatabaseError:
                self.moved_aside = move_aside(path)
                self._create()
        except (OSError, sqlite3.Error) as error:
            raise self._refused(error) from error

    def get(self, key: ProfileKey) -> Profile | None:
        """Return the profile for a key, ``None`` if it was never measured.

        A row that makes no sense (no runs, or times that are not above 0) counts as never measured.

        Raises:
            ProfileError: the file cannot be read.
        """
        try:
            with self._connect() as connection:
                row = connection.execute(
                    "SELECT model_digest, segments, samples, measured_at_ns, note FROM profile "
                    "WHERE network=? AND backend=? AND device=?",
                    (key.network, key.backend, key.device),
                ).fetchone()
        except sqlite3.Error as error:
            raise self._refused(error) from error
        if row is None:
            return None
        try:
            samples = np.frombuffer(row[2], np.int64).reshape(-1, row[1])
        except (TypeError, ValueError):
            return None
        if samples.size == 0 or int(samples.min()) <= 0:
            return None
        return Profile(key, row[0], samples, row[3], row[4])

    def put(self, profile: Profile) -> None:
        """Store a profile, replacing an older one for the same key.

        Raises:
            ProfileError: the file cannot be written.
        """
        key, samples = profile.key, np.ascontiguousarray(profile.samples_ns, np.int64)
        row = (
            key.network,
            key.backend,
            key.device,
            profile.model_digest,
            samples.shape[1],
            samples.tobytes(),
            profile.measured_at_ns,
            profile.note,
        )
        try:
            with self._connect() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO profile VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _create(self) -> None:
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(_SCHEMA)
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """Open, commit or roll back, and close."""
        with closing(sqlite3.connect(self._path, timeout=10.0)) as connection, connection:
            yield connection

    def _refused(self, error: Exception) -> ProfileError:
        return ProfileError(
            f"profiles cannot be kept ({error})",
            where="state_dir",
            value=str(self._path.parent),
            expected="a folder that can be written to",
            mend="Give another state_dir",
        )
