"""Measured execution times: a file of profiles that somebody edited, or that a disk has bent.

An input that begins with ``SQLite format 3`` is the file, any other the JSON of one row in it; its
samples are text in hex.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from aegis_ros.errors import ProfileError
from aegis_ros.wcet import ProfileKey, ProfileStore
from aegis_ros.wcet.condition import Condition
from aegis_ros.wcet.store import _digest
from test.fuzz.mutation import Mutator
from test.fuzz.target import Target, Try, answered
from test.fuzz.targets.configuration import YAML_WORDS

__all__ = ["TARGET"]

_MAGIC = b"SQLite format 3\0"
_OLD = Path(__file__).parents[2] / "compatibility" / "v0_1" / "profiles.sqlite"
_KEY = ProfileKey("network", "onnxruntime", "cpu")
_COLUMNS = ("model_digest", "segments", "samples", "measured_at_ns", "condition", "machine")
_INSERT = (
    "INSERT INTO batch (network, backend, device, model_digest, segments, samples, "
    "measured_at_ns, condition, machine, sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_EDGES = (0, 1, -1, 2, 3, 2**31, 2**62, 2**63 - 1, -(2**63))
_ANYTHING = (None, "", "x", b"\xff", 0, -1, 1.5, float("inf"), 2**63 - 1, "9" * 5_000)
_TEXT = Mutator((*YAML_WORDS, b"memory", b"cold", b"beside", b'"'), most_bytes=4_096, text=True)


def _row(segments: int, runs: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    samples = (1e6 * (1 + rng.exponential(0.1, (runs, segments)))).astype(np.int64)
    return {
        "model_digest": "ab",
        "segments": segments,
        "samples": samples.tobytes().hex(),
        "measured_at_ns": 5,
        "condition": json.dumps(Condition().to_json()),
        "machine": json.dumps({"processor": "x"}),
    }


def _seeds() -> Sequence[bytes]:
    rows = [_row(1, 50, 0), _row(3, 200, 1), _row(1, 4_000, 2)]
    return [*(json.dumps(row).encode() for row in rows), _OLD.read_bytes()]


_FILES = Mutator(most_bytes=256 * 1024)


def _mutate(seeds: Sequence[bytes], rng: Random) -> bytes:
    chosen = rng.choice(seeds)
    if chosen.startswith(_MAGIC):
        return _MAGIC + _FILES([chosen], rng)[len(_MAGIC) :]
    row = json.loads(chosen)
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(_COLUMNS)
        if name == "samples":
            row[name] = _samples(bytearray.fromhex(row[name]), rng).hex()
        elif name == "segments":
            row[name] = rng.choice((*_EDGES, 5, 7))
        elif rng.random() < 0.3:
            odd = rng.choice(_ANYTHING)
            row[name] = odd.hex() if isinstance(odd, bytes) else odd
        else:
            text = str(row[name]).encode(errors="replace")
            row[name] = _TEXT([text], rng).decode(errors="replace")
    return json.dumps(row).encode()


def _samples(data: bytearray, rng: Random) -> bytes:
    for _ in range(rng.choice((1, 2, 50))):
        place = 8 * rng.randrange(max(1, len(data) // 8))
        data[place : place + 8] = rng.choice(_EDGES).to_bytes(8, "little", signed=True)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


@contextmanager
def _opened(scratch: Path) -> Iterator[Try]:
    folder, empty = scratch / "state", scratch / "empty.sqlite"
    ProfileStore(empty)
    with closing(sqlite3.connect(empty)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    template = empty.read_bytes()

    def work(data: bytes) -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        file = folder / "profiles.sqlite"
        file.write_bytes(data if data.startswith(_MAGIC) else template)
        if not data.startswith(_MAGIC):
            _put(file, json.loads(data))
        found: list[object] = []

        def use() -> None:
            profile = ProfileStore(file).get(_KEY)
            if profile is None:
                return
            found.append(profile)
            assert profile.total_ns() > 0
            assert all(each.value_ns > 0 for each in profile.budgets())
            assert all(each.label for each in profile.conditions)

        return answered(use, ProfileError) and bool(found)

    yield work


def _put(file: Path, row: dict[str, Any]) -> None:
    """Write a row as anybody can: columns take values of any type, and digests are no secret."""
    values = [row[name] for name in _COLUMNS]
    values[2] = bytes.fromhex(values[2])
    measured = [_KEY.network, _KEY.backend, _KEY.device, *("x" if v is None else v for v in values)]
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(_INSERT, [*measured, _digest(measured)])


TARGET = Target(
    name="profiles",
    title="profiles",
    seeds=_seeds,
    mutate=_mutate,
    opened=_opened,
    weight=0.2,
    brief=60,
)
