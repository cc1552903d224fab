"""Keeps WCET profiles across restarts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from aegis_ros.errors import ProfileError
from aegis_ros.wcet.profile import Profile, ProfileKey

__all__ = ["ProfileStore"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS profile (
  network TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
  model_digest TEXT NOT NULL, segments INTEGER NOT NULL, samples BLOB NOT NULL,
  measured_at_ns INTEGER NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (network, backend, device))
"""


class ProfileStore:
    """Profiles in an SQLite file; safe to use from several threads and processes.

    A file that is damaged is moved aside and a new one begun: profiles can be measured again.

    Args:
        path: the file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            ProfileError: the folder cannot be written to.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._create()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not path.exists():
                raise self._refused(error) from error
            path.replace(path.with_suffix(f".damaged-{int(time.time())}"))
            self._create()
        except OSError as error:
            raise self._refused(error) from error

    def get(self, key: ProfileKey) -> Profile | None:
        """Return the profile for a key, ``None`` if it was never measured."""
        with self._connect() as connection:
            row = connection.execute(
                "SELECT model_digest, segments, samples, measured_at_ns, note FROM profile "
                "WHERE network=? AND backend=? AND device=?",
                (key.network, key.backend, key.device),
            ).fetchone()
        if row is None:
            return None
        samples = np.frombuffer(row[2], np.int64).reshape(-1, row[1])
        return Profile(key, row[0], samples, row[3], row[4])

    def put(self, profile: Profile) -> None:
        """Store a profile, replacing an older one for the same key."""
        key, samples = profile.key, np.ascontiguousarray(profile.samples_ns, np.int64)
        with self._connect() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO profile VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key.network,
                    key.backend,
                    key.device,
                    profile.model_digest,
                    samples.shape[1],
                    samples.tobytes(),
                    profile.measured_at_ns,
                    profile.note,
                ),
            )

    def _create(self) -> None:
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(_SCHEMA)

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
