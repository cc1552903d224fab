"""Keeps WCET profiles across restarts."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.config import read_json
from aegis_ros.errors import ConfigError, ProfileError
from aegis_ros.memory import Taken
from aegis_ros.sandbox.database import Database
from aegis_ros.sandbox.storage import refusal_of_disk
from aegis_ros.wcet.condition import Condition
from aegis_ros.wcet.profile import Batch, Profile, ProfileKey

__all__ = ["ProfileStore"]

# 1, written as 0, had one row a profile and no conditions; 2 knew no neighbours; 3 had no digests.
_VERSION = 4
_LONGEST_NS = 3_600_000_000_000  # of a segment; the sum of all that one run has fits 64 bits
_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
  number INTEGER PRIMARY KEY,
  network TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
  model_digest TEXT NOT NULL, segments INTEGER NOT NULL, samples BLOB NOT NULL,
  measured_at_ns INTEGER NOT NULL, condition TEXT NOT NULL, machine TEXT NOT NULL,
  sha256 TEXT NOT NULL DEFAULT '')
"""
# What networks took in memory; earlier versions neither have this table nor mind it.
_MEMORY = """
CREATE TABLE IF NOT EXISTS memory (
  network TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL,
  nbytes INTEGER NOT NULL, peak_bytes INTEGER NOT NULL, measured_at_ns INTEGER NOT NULL,
  sha256 TEXT NOT NULL, PRIMARY KEY (network, backend, device))
"""
_INDEX = "CREATE INDEX IF NOT EXISTS batch_key ON batch (network, backend, device)"
_OF_KEY = "network=? AND backend=? AND device=?"
_MEASURED = (
    "network, backend, device, model_digest, segments, samples, measured_at_ns, condition, machine"
)
_INSERT = f"INSERT INTO batch ({_MEASURED}, sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FIND = f"SELECT {_MEASURED}, sha256 FROM batch WHERE {_OF_KEY} ORDER BY number"
_MIGRATE = (
    f"INSERT INTO batch ({_MEASURED}) SELECT network, backend, device, model_digest, segments, "
    "samples, measured_at_ns, ?, '{}' FROM profile"
)
_log = logging.getLogger(__name__)


class ProfileStore:
    """Profiles in an SQLite file; safe to use from several threads and processes.

    Each row has a digest of all that was measured. Rows of earlier versions, which had none, are
    taken as they are and get theirs when the file is first opened: nothing hints at damage in
    them, and to measure a robot's networks anew means to stop them.

    A file that is damaged is moved aside and a new one begun: profiles can be measured again. That
    is logged, and ``moved_aside`` then names where the damaged one went.

    Args:
        path: the file; its folder is created.
        on_unkept: called with the problem where something cannot be stored; it is then kept in
            memory until it can be. Without, that is an error.
    """

    def __init__(self, path: Path, on_unkept: Callable[[str], object] | None = None) -> None:
        """Open or create the file; one of an earlier version is brought to this one.

        Raises:
            ProfileError: the folder cannot be written to, or a later version made the file.
        """
        self._path = path
        self._on_unkept = on_unkept
        self._changing = threading.RLock()  # of what is kept in memory
        self._unkept: dict[ProfileKey, Profile] = {}
        self._damaged: set[ProfileKey] = set()  # reported so far
        try:
            self._database = self._opened()
        except (OSError, sqlite3.Error) as error:
            raise self._refused(error) from error

    @property
    def moved_aside(self) -> Path | None:
        """Where a damaged file went."""
        return self._database.moved_aside

    def get(self, key: ProfileKey) -> Profile | None:
        """Return all that was measured for a key, ``None`` if nothing was.

        Where one row is not what was stored, or makes no sense (no runs, or times that are not
        above 0, or are hours), all count as never measured: what the lost one would have asked for
        is not known, and it may have been the largest budget. That is logged once.

        Raises:
            ProfileError: the file cannot be read.
        """
        kept = self._unkept.get(key)
        if kept is not None:
            return kept
        try:
            rows = self._present().read(_FIND, _columns(key))
        except (OSError, sqlite3.Error) as error:
            raise self._unreadable(error) from error
        found = [batch for row in rows if (batch := _batch(row)) is not None]
        if len(found) < len(rows) and key not in self._damaged:
            self._damaged.add(key)
            _log.warning(
                "profiles in %s are damaged: network %s on %s is measured anew",
                self._path,
                key.network,
                key.device,
            )
        if not found or len(found) < len(rows):
            return None
        segments = found[-1].samples_ns.shape[1]  # cut otherwise since: the older runs are void
        return Profile(
            key,
            rows[-1][3],
            tuple(batch for batch in found if batch.samples_ns.shape[1] == segments),
        )

    def put(self, profile: Profile) -> None:
        """Store a profile, replacing an older one for the same key.

        Raises:
            ProfileError: the file cannot be written.
        """
        with self._changing:
            self._write(profile, replace=True)

    def add(self, profile: Profile) -> None:
        """Store the batches of a profile beside those that are there for the same key.

        Raises:
            ProfileError: the file cannot be written.
        """
        with self._changing:
            self._write(profile, replace=False)

    def taken(self, key: ProfileKey) -> Taken | None:
        """Return what a network took in memory; ``None`` where that was not measured.

        What is not what was stored counts as never measured.

        Raises:
            ProfileError: the file cannot be read.
        """
        query = f"SELECT nbytes, peak_bytes, measured_at_ns, sha256 FROM memory WHERE {_OF_KEY}"
        try:
            rows = self._present().read(query, _columns(key))
        except (OSError, sqlite3.Error) as error:
            raise self._unreadable(error) from error
        for nbytes, peak_bytes, measured_at_ns, digest in rows:
            if digest == _digest_of_memory(key, nbytes, peak_bytes, measured_at_ns):
                return Taken(nbytes, peak_bytes)
        return None

    def note_taken(self, key: ProfileKey, taken: Taken, measured_at_ns: int) -> None:
        """Store what a network took in memory, in place of what it took before.

        Where it cannot be stored, that is an error, or reported to ``on_unkept``; it is measured
        again another time then.

        Args:
            key: of the network.
            taken: what it took.
            measured_at_ns: wall clock, nanoseconds since 1970.

        Raises:
            ProfileError: the file cannot be written.
        """
        row = (taken.nbytes, taken.peak_bytes, measured_at_ns)
        try:
            with self._changing, self._present().connect() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (*_columns(key), *row, _digest_of_memory(key, *row)),
                )
        except (OSError, sqlite3.Error) as error:
            refused = self._refused(error)
            if self._on_unkept is None:
                raise refused from error
            self._on_unkept(str(refused))

    def forget(self, key: ProfileKey) -> None:
        """Drop all that was measured for a key.

        Raises:
            ProfileError: the file cannot be written.
        """
        with self._changing:
            self._unkept.pop(key, None)
            try:
                with self._present().connect() as connection:
                    connection.execute(f"DELETE FROM batch WHERE {_OF_KEY}", _columns(key))
            except (OSError, sqlite3.Error) as error:
                raise self._refused(error) from error

    def _write(self, profile: Profile, replace: bool) -> None:
        waiting = tuple(each for each in self._unkept.values() if each.key != profile.key)
        if profile.key in self._unkept and not replace:
            profile, replace = _joined(self._unkept[profile.key], profile), True
        try:
            self._store(profile, replace)
            for each in waiting:
                self._store(each, replace=True)
        except ProfileError as error:
            if self._on_unkept is None:
                raise
            if not replace:
                with suppress(ProfileError):
                    profile = _joined(self.get(profile.key), profile)
            self._unkept[profile.key] = profile
            self._on_unkept(str(error))
        else:
            self._unkept.clear()

    def _store(self, profile: Profile, replace: bool) -> None:
        key = _columns(profile.key)
        rows = [_row(profile, batch) for batch in profile.batches]
        try:
            with self._present().connect() as connection:
                if replace or None in map(_batch, connection.execute(_FIND, key)):
                    connection.execute(f"DELETE FROM batch WHERE {_OF_KEY}", key)
                else:
                    connection.execute(
                        f"DELETE FROM batch WHERE {_OF_KEY} AND segments<>?",
                        (*key, profile.segments),
                    )
                connection.executemany(_INSERT, rows)
            self._damaged.discard(profile.key)
        except (OSError, sqlite3.Error) as error:
            raise self._refused(error) from error

    def _present(self) -> Database:
        """Return the file; one that was removed while this process runs is begun anew.

        Raises:
            OSError, sqlite3.Error: it cannot be written to.
        """
        if not self._path.exists():
            self._database = self._opened()
        return self._database

    def _opened(self) -> Database:
        database = Database(self._path, self._create)
        if database.moved_aside is not None:
            _log.warning(
                "profiles in %s were damaged and are measured anew; the damaged file is now %s",
                self._path,
                database.moved_aside,
            )
        return database

    def _create(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:
            raise ProfileError(
                "the profiles were written by a later version of aegis",
                where="state_dir",
                value=str(self._path.parent),
                expected=f"version {_VERSION} or earlier, found {version}",
                hint="Use another state_dir, or that version",
            )
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SCHEMA)
        columns = {row[1] for row in connection.execute("PRAGMA table_info(batch)")}
        if not {"number", *_MEASURED.split(", ")} <= columns:
            raise sqlite3.DatabaseError("its table has other columns")
        connection.execute(_INDEX)
        connection.execute(_MEMORY)
        if "sha256" not in columns:
            connection.execute("ALTER TABLE batch ADD COLUMN sha256 TEXT NOT NULL DEFAULT ''")
        old = "SELECT 1 FROM sqlite_master WHERE type='table' AND name='profile'"
        if connection.execute(old).fetchone() is not None:
            connection.execute(_MIGRATE, (json.dumps(Condition().to_json()),))
            connection.execute("DROP TABLE profile")
        if version < _VERSION:
            _add_digests(connection)
        connection.execute(f"PRAGMA user_version={_VERSION}")

    def _unreadable(self, error: Exception) -> ProfileError:
        return ProfileError(
            f"profiles cannot be read ({refusal_of_disk(error, self._path.parent)})",
            where="state_dir",
            value=str(self._path.parent),
            hint="Give another state_dir",
        )

    def _refused(self, error: Exception) -> ProfileError:
        return ProfileError(
            f"profiles cannot be stored ({refusal_of_disk(error, self._path.parent)})",
            where="state_dir",
            value=str(self._path.parent),
            expected="a folder that can be written to",
            hint="Free some space there, or give another state_dir (aegis: --state-dir)",
        )


def _joined(before: Profile | None, after: Profile) -> Profile:
    """Return all that was measured; what was cut otherwise before is void."""
    if before is None or before.segments != after.segments:
        return after
    return Profile(after.key, after.model_digest, (*before.batches, *after.batches))


def _columns(key: ProfileKey) -> tuple[str, str, str]:
    return key.network, key.backend, key.device


def _add_digests(connection: sqlite3.Connection) -> None:
    """Take rows of an earlier version as they are."""
    numbers = connection.execute("SELECT number FROM batch WHERE sha256=''").fetchall()
    for (number,) in numbers:
        query = f"SELECT {_MEASURED} FROM batch WHERE number=?"
        row = connection.execute(query, (number,)).fetchone()
        connection.execute("UPDATE batch SET sha256=? WHERE number=?", (_digest(row), number))


def _digest(row: Sequence[Any]) -> str:
    """Return the SHA-256 of what was measured, in hex; empty where it cannot have been stored."""
    *before, samples, measured_at_ns, condition, machine = row
    try:
        hashed = hashlib.sha256(samples).hexdigest()
        text = json.dumps([*before, hashed, measured_at_ns, condition, machine])
    except TypeError:
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_memory(key: ProfileKey, *row: object) -> str:
    return hashlib.sha256(json.dumps([*_columns(key), *row]).encode()).hexdigest()


def _row(profile: Profile, batch: Batch) -> tuple[Any, ...]:
    samples = np.ascontiguousarray(batch.samples_ns, np.int64)
    row = (
        *_columns(profile.key),
        profile.model_digest,
        samples.shape[1],
        samples.tobytes(),
        batch.measured_at_ns,
        json.dumps(batch.condition.to_json()),
        json.dumps(dict(batch.machine)),
    )
    return (*row, _digest(row))


def _batch(row: tuple[Any, ...]) -> Batch | None:
    """Return what a row holds; ``None`` where that is not what was stored, or has no sense."""
    *measured, digest = row
    if not digest or digest != _digest(measured):
        return None
    segments, content, measured_at_ns, noted, described = measured[4:]
    try:
        samples = np.frombuffer(content, np.int64).reshape(-1, segments)
        condition = Condition.from_json(read_json(noted, "condition"))
        machine = {str(name): str(value) for name, value in read_json(described, "machine").items()}
    except (ConfigError, TypeError, ValueError, KeyError, AttributeError):
        return None
    if samples.size == 0 or int(samples.min()) <= 0 or int(samples.max()) > _LONGEST_NS:
        return None
    return Batch(samples, measured_at_ns, condition, machine)
