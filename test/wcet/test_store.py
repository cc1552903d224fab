"""Profiles outlive the process; a damaged file costs a measurement, not the robot."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.errors import ProfileError
from aegis_ros.memory import Taken
from aegis_ros.wcet import Batch, Cache, Condition, Profile, ProfileKey, ProfileStore, Stress

KEY = ProfileKey("net", "onnxruntime", "cpu 1.0")
COLD = Condition(Stress.MEMORY, Cache.COLD, "12 images")


def batch(*values: int, condition: Condition | None = None) -> Batch:
    samples = np.asarray(values, np.int64).reshape(-1, 1)
    return Batch(samples, 5, condition or Condition(), {"kernel": "6.1"})


def profile(*values: int, condition: Condition | None = None) -> Profile:
    return Profile(KEY, "d" * 64, (batch(*values, condition=condition),))


def test_a_profile_is_found_again_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "state" / "profiles.sqlite"
    ProfileStore(path).put(profile(3, 4, 5, condition=COLD))
    found = ProfileStore(path).get(KEY)
    assert found is not None
    (kept,) = found.batches
    assert kept.samples_ns.tolist() == [[3], [4], [5]]
    assert (found.model_digest, kept.measured_at_ns, kept.machine) == (
        "d" * 64,
        5,
        {"kernel": "6.1"},
    )
    assert kept.condition == COLD


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


def test_memory_that_was_measured_is_kept_beside_profiles_of_any_version(tmp_path: Path) -> None:
    path = tmp_path / "profiles.sqlite"
    ProfileStore(path).put(profile(3))
    with sqlite3.connect(path) as connection:  # as an earlier version left it
        connection.execute("DROP TABLE memory")
    store = ProfileStore(path)
    assert store.taken(KEY) is None and store.get(KEY) is not None
    store.note_taken(KEY, Taken(10, 20), 1)
    store.note_taken(KEY, Taken(11, 21), 2)
    assert ProfileStore(path).taken(KEY) == Taken(11, 21)
    assert store.taken(ProfileKey("other", KEY.backend, KEY.device)) is None
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE memory SET nbytes=12")
    assert store.taken(KEY) is None  # it is not what was measured


def test_a_new_measurement_replaces_the_old(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(profile(3))
    store.put(profile(7, 8))
    found = store.get(KEY)
    assert found is not None
    assert found.runs == 2


def test_added_runs_stand_behind_those_before_each_with_its_condition(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(profile(3))
    store.add(profile(9, condition=COLD))
    store.add(profile(4, 5))
    found = store.get(KEY)
    assert found is not None
    assert found.conditions == (Condition(), COLD)
    assert found.of(Condition()).tolist() == [[3], [4], [5]]
    assert found.of(COLD).tolist() == [[9]]
    assert found.runs == 4


def test_runs_of_a_network_that_was_cut_otherwise_are_void(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(profile(3, 4))
    whole = np.asarray([[1, 2]], np.int64)
    store.add(Profile(KEY, "d" * 64, (Batch(whole, 6),)))
    found = store.get(KEY)
    assert found is not None
    assert found.samples_ns.tolist() == [[1, 2]]


def test_what_is_forgotten_was_never_measured(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(profile(3))
    store.forget(KEY)
    assert store.get(KEY) is None


def test_a_file_of_the_first_version_keeps_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "profiles.sqlite"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "CREATE TABLE profile (network TEXT, backend TEXT, device TEXT, model_digest TEXT, "
            "segments INTEGER, samples BLOB, measured_at_ns INTEGER, note TEXT)"
        )
        samples = np.asarray([7, 8], np.int64).tobytes()
        row = (KEY.network, KEY.backend, KEY.device, "d" * 64, 1, samples, 5, "a note")
        connection.execute("INSERT INTO profile VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    connection.close()
    for _ in range(2):  # what was brought over once is not brought over again
        found = ProfileStore(path).get(KEY)
        assert found is not None
        assert found.samples_ns.tolist() == [[7], [8]]
        assert found.conditions == (Condition(),)


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "profiles.sqlite"
    ProfileStore(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ProfileError, match=r"later version.*found 99"):
        ProfileStore(path)
    assert list(tmp_path.glob("*damaged*")) == []


def test_a_damaged_file_is_moved_aside_and_begun_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "profiles.sqlite"
    path.write_bytes(b"this is no database" * 100)
    store = ProfileStore(path)
    assert store.moved_aside is not None
    (said,) = caplog.messages
    assert "were damaged and are measured anew" in said and str(store.moved_aside) in said
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
        connection.execute("UPDATE batch SET samples = ?", (blob,))
    connection.close()
    assert store.get(KEY) is None


def changed(path: Path, change: str, *values: object) -> None:
    """Change rows behind the store's back, as a bad disk does."""
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(f"UPDATE batch SET {change}", values).rowcount == 1
    connection.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("samples", np.asarray([3, 4, 1], np.int64).tobytes()),
        ("samples", np.asarray([3, 4], np.int64).tobytes()),
        ("samples", "3"),
        ("segments", 3),
        ("model_digest", "e" * 64),
        ("model_digest", b"d"),
        ("measured_at_ns", 6),
        ("condition", '{"stress": "none", "cache": "warm", "inputs": "random"}'),
        ("machine", '{"kernel": "6.2"}'),
        ("sha256", ""),
    ],
)
def test_a_row_that_is_not_what_was_stored_is_measured_anew_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, column: str, value: object
) -> None:
    path = tmp_path / "profiles.sqlite"
    store = ProfileStore(path)
    store.put(profile(3, 4, 5, condition=COLD))
    changed(path, f"{column} = ?", value)
    assert store.get(KEY) is None and store.get(KEY) is None
    (said,) = caplog.messages
    assert "damaged" in said and KEY.device in said
    store.add(profile(9))
    found = store.get(KEY)
    assert found is not None and found.samples_ns.tolist() == [[9]]


def test_a_damaged_row_costs_all_of_its_key_lest_the_largest_budget_is_lost(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "profiles.sqlite", ProfileKey("other", KEY.backend, KEY.device)
    store = ProfileStore(path)
    store.put(profile(3))
    store.add(profile(400, condition=COLD))
    store.put(Profile(other, "d" * 64, (batch(5),)))
    changed(path, "samples = ? WHERE number = 2", np.asarray([4], np.int64).tobytes())
    assert store.get(KEY) is None
    assert store.get(other) is not None


def test_a_profile_that_turns_up_under_another_key_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "profiles.sqlite"
    store = ProfileStore(path)
    store.put(profile(3))
    changed(path, "device = 'cpu 1.1'")
    assert store.get(ProfileKey(KEY.network, KEY.backend, "cpu 1.1")) is None


def test_rows_without_digests_of_the_version_before_are_taken_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a robot has measured is dear, and nothing hints at damage."""
    path = tmp_path / "profiles.sqlite"
    ProfileStore(path).put(profile(3, 4, condition=COLD))
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("ALTER TABLE batch DROP COLUMN sha256")
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    for _ in range(2):
        found = ProfileStore(path).get(KEY)
        assert found is not None and found.of(COLD).tolist() == [[3], [4]]
    assert caplog.messages == []
    changed(path, "sha256 = ''")
    assert ProfileStore(path).get(KEY) is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProfileError, match="state_dir"):
        ProfileStore(tmp_path / "file" / "profiles.sqlite")


def test_what_the_disk_does_not_take_is_kept_in_memory_until_it_does(tmp_path: Path) -> None:
    path, problems = tmp_path / "profiles.sqlite", list[str]()
    store = ProfileStore(path, problems.append)
    store.put(profile(3))
    other = sqlite3.connect(path)
    other.execute(
        "CREATE TRIGGER full BEFORE INSERT ON batch BEGIN SELECT RAISE(FAIL, 'full'); END"
    )
    other.commit()
    store.add(profile(4))
    store.add(profile(5))
    found = store.get(KEY)
    assert found is not None and found.samples_ns.tolist() == [[3], [4], [5]]
    assert len(problems) == 2 and "full" in problems[0]
    other.execute("DROP TRIGGER full")
    other.commit()
    other.close()
    store.put(Profile(ProfileKey("net2", "onnxruntime", "cpu 1.0"), "e" * 64, (batch(9),)))
    stored = ProfileStore(path).get(KEY)
    assert stored is not None and stored.samples_ns.tolist() == [[3], [4], [5]]
    assert len(problems) == 2


def test_profiles_are_read_where_the_disk_takes_nothing_not_even_an_index_of_the_log(
    tmp_path: Path,
) -> None:
    path, problems = tmp_path / "profiles.sqlite", list[str]()
    store = ProfileStore(path, problems.append)
    store.put(profile(3))
    index = tmp_path / "profiles.sqlite-shm"
    index.symlink_to("nowhere")  # SQLite follows no link, so it cannot make the file
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect(path).execute("SELECT * FROM batch")
    found = store.get(KEY)
    assert found is not None and found.samples_ns.tolist() == [[3]]
    store.add(profile(4))
    found = store.get(KEY)
    assert found is not None and found.samples_ns.tolist() == [[3], [4]]
    assert len(problems) == 1
    index.unlink()
    store.add(profile(5))
    stored = ProfileStore(path).get(KEY)
    assert stored is not None and stored.samples_ns.tolist() == [[3], [4], [5]]


@pytest.mark.parametrize("value", [0, -5, 2**62, 2**63 - 1])
def test_times_that_nobody_measured_count_as_never_measured(tmp_path: Path, value: int) -> None:
    """Their sum over the segments of a run would leave 64 bits, and become a budget below 0."""
    store = ProfileStore(tmp_path / "profiles.sqlite")
    store.put(Profile(KEY, "d", (Batch(np.full((5, 3), value, np.int64), 5),)))
    assert store.get(KEY) is None


@pytest.mark.parametrize("bent", [b"samplesDBLOB", b"samples(\xd5LOB"])
def test_a_file_whose_table_is_bent_is_moved_aside(tmp_path: Path, bent: bytes) -> None:
    path = tmp_path / "profiles.sqlite"
    ProfileStore(path).put(profile(3))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert path.read_bytes().count(b"samples BLOB") == 1
    path.write_bytes(path.read_bytes().replace(b"samples BLOB", bent))
    store = ProfileStore(path)
    assert store.moved_aside is not None
    store.put(profile(5))
    assert store.get(KEY) is not None


def test_what_cannot_be_stored_while_another_profile_is_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ProfileStore(tmp_path / "profiles.sqlite", on_unkept=lambda problem: None)
    other = ProfileKey("other", KEY.backend, KEY.device)
    late = threading.Thread(target=lambda: store.put(Profile(other, "d" * 64, (batch(9),))))
    stored = store._store

    def slow(profile: Profile, replace: bool) -> None:
        if profile.key == other:
            raise ProfileError("the disk is full")
        late.start()
        late.join(0.2)  # it may have ended by now, or wait
        stored(profile, replace)

    monkeypatch.setattr(store, "_store", slow)
    store.put(profile(3))
    late.join()
    found = store.get(other)
    assert found is not None and found.batches[0].samples_ns.tolist() == [[9]]


def test_a_file_that_is_removed_while_it_is_used_is_begun_anew(tmp_path: Path) -> None:
    store = ProfileStore(tmp_path / "state" / "profiles.sqlite")
    store.put(profile(3))
    shutil.rmtree(tmp_path / "state")
    assert store.get(KEY) is None
    shutil.rmtree(tmp_path / "state")
    store.put(profile(4))
    found = ProfileStore(tmp_path / "state" / "profiles.sqlite").get(KEY)
    assert found is not None and found.samples_ns.tolist() == [[4]]
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "state").write_text("a file in its place")
    with pytest.raises(ProfileError, match=r"cannot be read \((Not a directory|File exists)"):
        store.get(KEY)
