"""What it means that the disk refuses something, in words of who has to free some space."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from aegis_ros.sandbox.storage import refusal_of_disk


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("unable to open database file"),
        OSError(28, "No space left on device"),
    ],
)
def test_a_full_disk_is_named_whatever_the_library_calls_it(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert refusal_of_disk(error, tmp_path) == "the disk is full"


def test_other_causes_are_said_without_numbers_and_paths(tmp_path: Path) -> None:
    read_only = OSError(30, "Read-only file system", str(tmp_path))
    assert refusal_of_disk(read_only, tmp_path) == "Read-only file system"
    assert refusal_of_disk(sqlite3.OperationalError("locked"), tmp_path / "absent") == "locked"
