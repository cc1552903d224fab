"""The audit log: complete, continued over restarts and rotations, and every edit is seen."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis_ros.audit import AuditLog, AuditRecord, asked_by, read, verify, writer
from aegis_ros.audit.chain import FILE_NAME, files, sealed
from aegis_ros.sandbox.scratch import Scratch


def written(folder: Path, count: int = 5, start: int = 0, **options: int) -> tuple[int, str]:
    log = AuditLog(folder, **options)
    for number in range(start, start + count):
        log.note("admitted", task=f"task{number}", rule="schedulable", sentence="It fits")
    log.close()
    return log.head


def records(folder: Path) -> list[AuditRecord]:
    return [each for _, _, each in read(folder) if isinstance(each, AuditRecord)]


def test_everything_noted_is_there_in_order_with_who_asked(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.note("configured")
    with asked_by("service register_model"):
        log.note("admitted", task="a", rule="schedulable", sentence="a fits")
        with asked_by("service unregister_model"):
            log.note("removed", task="a")
    log.note("deactivated")
    log.close()
    found = records(tmp_path)
    assert [(each.number, each.event, each.asked_by) for each in found] == [
        (1, "configured", ""),
        (2, "admitted", "service register_model"),
        (3, "removed", "service unregister_model"),
        (4, "deactivated", ""),
    ]
    assert found[1].sentence == "a fits"
    assert found[1].time.endswith("Z")
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    verdict = verify(tmp_path)
    assert (verdict.records, verdict.first, verdict.damage) == (4, 1, ())
    assert (4, verdict.head) == log.head


def test_a_text_of_a_megabyte_is_cut_short(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with asked_by("w" * 2**20):
        log.note("rejected", sentence="s" * 2**20)
    log.close()
    (found,) = records(tmp_path)
    assert (found.asked_by, found.sentence) == ("w" * 1_000, "s" * 1_000)
    assert not verify(tmp_path).damage


def test_whoever_works_in_another_thread_is_not_named(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    with asked_by("service register_model"):
        other = threading.Thread(target=lambda: log.note("shed"))
        other.start()
        other.join()
    log.close()
    assert records(tmp_path)[0].asked_by == ""


def test_a_restart_goes_on_where_the_log_ended(tmp_path: Path) -> None:
    written(tmp_path, 3)
    written(tmp_path, 2, start=3)
    verdict = verify(tmp_path)
    assert (verdict.records, verdict.damage) == (5, ())
    assert [each.number for each in records(tmp_path)] == [1, 2, 3, 4, 5]


def test_full_files_are_rotated_and_the_oldest_go(tmp_path: Path) -> None:
    for start in range(0, 60, 2):
        written(tmp_path, 2, start, max_bytes=600, keep=3)
    assert len([path for path in files(tmp_path) if path.name != FILE_NAME]) == 3
    verdict = verify(tmp_path)
    assert verdict.damage == ()
    assert verdict.first > 1
    assert records(tmp_path)[-1].number == 60


def test_whole_files_can_be_archived_from_the_oldest_on_and_their_absence_shows_in_the_number(
    tmp_path: Path,
) -> None:
    for start in range(0, 12, 2):
        written(tmp_path, 2, start, max_bytes=300)
    oldest, second, *_ = files(tmp_path)
    oldest.unlink()
    verdict = verify(tmp_path)
    assert verdict.damage == () and verdict.first == 3
    second.rename(oldest)  # as if nothing had been there before
    (damage,) = verify(tmp_path).damage
    assert (damage.file, damage.line) == (oldest, 1)
    assert damage.problem == "the records before record 3 are missing"


def test_the_chain_goes_on_from_one_file_to_the_next(tmp_path: Path) -> None:
    for start in range(0, 8, 2):
        written(tmp_path, 2, start, max_bytes=300)
    _, second, third, _ = files(tmp_path)
    lines = second.read_bytes().splitlines(keepends=True)
    before, last = (msgspec.json.decode(line, type=AuditRecord) for line in lines)
    # Right by itself, and after all that is before it.
    edited = sealed(msgspec.structs.replace(last, task="nobody"), before.digest)
    for content, problem in (
        (lines[0] + msgspec.json.encode(edited) + b"\n", "record 5, or the one before, was edited"),
        (lines[0], "record 5 follows record 3: records are missing"),
        (b"", "record 5 follows record 2: records are missing"),
    ):
        second.write_bytes(content)
        (damage,) = verify(tmp_path).damage
        assert (damage.file, damage.line, damage.problem) == (third, 1, problem)
    second.write_bytes(b"".join(lines))
    assert not verify(tmp_path).damage


@settings(max_examples=200)
@given(place=st.integers(0), change=st.integers(1, 255))
def test_every_edit_of_a_record_is_seen(place: int, change: int) -> None:
    with Scratch() as folder:
        (folder / FILE_NAME).write_bytes(_four_records())
        assert not verify(folder).damage
        content = bytearray(_four_records())
        content[place % len(content)] ^= change
        (folder / FILE_NAME).write_bytes(content)
        assert verify(folder).damage


@functools.cache
def _four_records() -> bytes:
    with Scratch() as folder:
        written(folder, 4)
        return (folder / FILE_NAME).read_bytes()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_removed_or_moved_record_is_seen(gone: int, tmp_path: Path) -> None:
    written(tmp_path, 4)
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    assert verify(tmp_path).damage[0].problem.endswith("missing")
    lines[gone], lines[gone + 1] = lines[gone + 1], lines[gone]
    path.write_bytes(b"".join(lines))
    assert verify(tmp_path).damage


def test_a_record_of_another_log_or_with_a_new_digest_is_seen(tmp_path: Path) -> None:
    """Each is right by itself; only those around it say that it was not there."""
    written(tmp_path / "one", 4)
    written(tmp_path / "other", 4, start=10)
    path = tmp_path / "one" / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    others = (tmp_path / "other" / FILE_NAME).read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], others[2], *lines[3:]]))
    assert verify(tmp_path / "one").damage
    path.write_bytes(b"".join(lines))
    first, second = records(tmp_path / "one")[:2]
    edited = sealed(msgspec.structs.replace(second, task="nobody"), first.digest)
    path.write_bytes(b"".join([lines[0], msgspec.json.encode(edited) + b"\n", *lines[2:]]))
    (damage,) = verify(tmp_path / "one").damage
    assert damage.line == 3


def test_a_cut_end_is_seen_by_who_knows_the_last_digest(tmp_path: Path) -> None:
    _, head = written(tmp_path, 4)
    path = tmp_path / FILE_NAME
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert not verify(tmp_path).damage
    (damage,) = verify(tmp_path, head).damage
    assert "the end is gone" in damage.problem


def test_a_line_that_a_power_cut_left_half_written_costs_nothing_else(tmp_path: Path) -> None:
    written(tmp_path, 3)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes() + b'{"number": 4, "ti')
    written(tmp_path, 2, start=3)
    verdict = verify(tmp_path)
    assert verdict.records == 5
    (damage,) = verdict.damage
    assert "power cut" in damage.problem
    assert (damage.line, damage.file.name) == (4, "audit.1.jsonl")


def test_a_disk_that_refuses_is_reported_once_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[str] = []
    full = threading.Event()
    full.set()
    tried = threading.Event()
    real = os.write

    def write(descriptor: int, content: bytes) -> int:
        if full.is_set() and b"admitted" in bytes(content):
            tried.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content)

    monkeypatch.setattr(os, "write", write)
    log = AuditLog(tmp_path, on_problem=problems.append)
    log.note("admitted", task="a")
    assert tried.wait(100.0)
    log.note("admitted", task="b")
    full.clear()
    log.close()
    assert [each.task for each in records(tmp_path)] == ["a", "b"]
    assert verify(tmp_path).damage == ()
    assert len(problems) == 1 and "No space left" in problems[0]


def test_what_a_disk_did_not_take_in_time_is_counted_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MOST_WAITING", 3)
    folder = tmp_path / "audit"
    folder.write_text("a file where the folder should be")
    refused = threading.Event()
    log = AuditLog(folder, on_problem=lambda problem: refused.set())
    log.note("admitted", task="a")
    assert refused.wait(100.0)
    for number in range(10):
        log.note("admitted", task=str(number))
    folder.unlink()
    log.close()
    found = records(folder)
    assert verify(folder).damage == ()
    kept = [each for each in found if each.event == "admitted"]
    (dropped,) = (each for each in found if each.event == "dropped")
    assert len(kept) < 11
    assert dropped.sentence.startswith(f"{11 - len(kept)} records were dropped")


def test_what_is_dropped_is_counted_until_the_disk_takes_that_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try that fails would forget how many there were before."""
    monkeypatch.setattr(writer, "_MOST_WAITING", 2)
    monkeypatch.setattr(writer, "_RETRY_S", 0.01)
    full = threading.Event()
    full.set()
    tries = threading.Semaphore(0)
    real = os.write

    def write(descriptor: int, content: bytes) -> int:
        if full.is_set() and b"admitted" in bytes(content):
            tries.release()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, content)

    monkeypatch.setattr(os, "write", write)
    log = AuditLog(tmp_path)
    for number in range(10):
        log.note("admitted", task=str(number))
        for _ in range(2):  # what waits has been taken, and the disk has refused it
            assert tries.acquire(timeout=100.0)
    full.clear()
    log.close()
    found = records(tmp_path)
    kept = [each for each in found if each.event == "admitted"]
    (dropped,) = (each for each in found if each.event == "dropped")
    assert dropped.sentence.startswith(f"{10 - len(kept)} records were dropped")
    assert len(kept) <= 4


def test_its_sizes_are_those_of_the_documentation() -> None:
    of = inspect.signature(AuditLog).parameters
    assert (of["max_bytes"].default, of["keep"].default) == (4 * 1024**2, 8)
    assert writer._MOST_WAITING == 10_000


def test_a_pipe_in_place_of_the_log_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    problems: list[str] = []
    log = AuditLog(tmp_path, on_problem=problems.append)
    log.note("admitted", task="a")
    log.close()
    (problem,) = problems
    assert "not a regular file" in problem
    with pytest.raises(OSError, match="not a regular file"):
        verify(tmp_path)


def test_a_write_that_is_cut_short_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, cut = os.write, [True]

    def write(descriptor: int, content: bytes) -> int:
        if cut and b"admitted" in bytes(content):
            cut.clear()
            return real(descriptor, content[:10])
        return real(descriptor, content)

    monkeypatch.setattr(os, "write", write)
    written(tmp_path, 2)
    assert verify(tmp_path).damage == ()
    assert verify(tmp_path).records == 2


def test_a_record_is_on_the_disk_before_its_digest_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, synced = os.fsync, []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size, log.head[0]))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    log = AuditLog(tmp_path)
    log.note("admitted", task="a")
    log.close()
    found = (tmp_path / FILE_NAME).stat()
    assert synced == [(found.st_ino, found.st_size, 0)]
    assert log.head[0] == 1


@pytest.mark.parametrize("cut", [True, False], ids=["cut off", "left on the disk"])
def test_after_a_disk_has_refused_the_log_goes_on_from_what_is_there(
    cut: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all of a refused record is gone is for the disk to say, not for what we remember."""
    monkeypatch.setattr(writer, "_RETRY_S", 0.01)
    written(tmp_path, 2)
    real, fails = os.fsync, [True]

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def fsync(descriptor: int) -> None:
        if fails:
            fails.clear()
            refuse()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    if not cut:
        monkeypatch.setattr(os, "ftruncate", refuse)
    written(tmp_path, 1, start=2)
    assert not fails
    assert verify(tmp_path).damage == ()
    again = [] if cut else ["task2"]
    assert [each.task for each in records(tmp_path)] == ["task0", "task1", "task2", *again]


def test_a_log_of_someone_elses_text_is_damage_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\xff\xfe\n" + b"[" * 100_000 + b"\n{}\n")
    assert verify(tmp_path).records == 0
    assert len(verify(tmp_path).damage) >= 3


def test_of_very_many_damaged_lines_the_first_are_named(tmp_path: Path) -> None:
    written(tmp_path, 2)
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"\n" * 5_000)
    damage = verify(tmp_path).damage
    assert len(damage) < 2_000
    assert damage[0].line == 3
    assert "5,000 lines are damaged" in damage[-1].problem
