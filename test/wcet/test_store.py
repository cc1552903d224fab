"""Profiles outlive the process; a damaged file costs a measurement, not the robot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.errors import ProfileError
from aegis_ros.wcet import Profile, ProfileKey, ProfileStore

KEY = ProfileKey("net", "onnxruntime", "cpu 1.0")


def profile(*values: int, key: ProfileKey = KEY) -> Profile:
    return Profile(key, "d" * 64, np.asarray(values, np.int64).reshape(-1, 1), 5, "note")


def test_a_profile_is_found_again_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "state" / "profiles.sqlite"
    ProfileStore(path).put(profile(3, 4, 5))
    found = ProfileStore(path).get(KEY)
    assert found is not None
    assert found.samples_ns.tolist() == [[3], [4], [5]]
    assert (found.model_digest, found.measured_at_ns, found.note) == ("d" * 64, 5, "note")


@pytest.mark.parametrize(
    "other",
    [
        ProfileKey("other", KEY.backend, KEY.device),
        ProfileKey(KEY.network, "simulated", KEY.device),
        ProfileKey(KEY.network, KEY.backend, "cpu 1.1"),
    ],
)
def test_a_profile_is_not_used_for_anything_else(tmp_path: Path, other: ProfileKey) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(profile(3))
    assert store.get(other) is None


def test_a_new_measurement_replaces_the_old(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(profile(3))
    store.put(profile(7, 8))
    found = store.get(KEY)
    assert found is not None
    assert found.runs == 2


def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "profiles.sqlite"
    path.write_bytes(b"this is no database" * 100)
    store = ProfileStore(path)
    assert store.moved_aside is not None
    assert store.moved_aside.read_bytes().startswith(b"this is no database")
    store.put(profile(3))
    assert store.get(KEY) is not None


def test_a_file_that_is_fine_is_left_where_it_is(tmp_path: Path) -> None:
    ProfileStore(tmp_path / "profiles.sqlite")
    assert ProfileStore(tmp_path / "profiles.sqlite").moved_aside is None


@pytest.mark.parametrize("blob", [b"", b"abc", np.zeros(3, np.int64).tobytes()])
def test_a_row_without_sense_counts_as_never_measured(tmp_path: Path, blob: bytes) -> None:
    path = tmp_path / "profiles.sqlite"
    store = ProfileStore(path)
    store.put(profile(3))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE profile SET samples = ?", (blob,))
    connection.close()
    assert store.get(KEY) is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError, match="state_dir"):
        ProfileStore(tmp_path / "file" / "profiles.sqlite")
