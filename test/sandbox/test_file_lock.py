"""A lock in a folder that every user may write to: whatever lies there, nobody waits for it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aegis_ros.sandbox.file_lock import FileLock, holder_of


def test_who_holds_it_is_known_until_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder_of(path) is None
    lock = FileLock(path)
    assert lock.acquire({"pid": 7})
    assert holder_of(path) == {"pid": 7}
    assert not FileLock(path).acquire({"pid": 8})
    assert holder_of(path) == {"pid": 7}
    lock.release()
    assert holder_of(path) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's file would be opened to write, and be given to everybody."""
    target = tmp_path / "precious"
    target.write_text("kept")
    target.chmod(0o600)
    (tmp_path / "lock").symlink_to(target)
    with pytest.raises(OSError) as refused:
        FileLock(tmp_path / "lock").acquire({})
    assert refused.value.errno == errno.ELOOP
    held = FileLock(target)
    assert held.acquire({"pid": 7})
    assert holder_of(tmp_path / "lock") is None
    held.release()
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_link_to_nothing_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "made")
    with pytest.raises(OSError):
        FileLock(tmp_path / "lock").acquire({})
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("look", [holder_of, lambda path: FileLock(path).acquire({})])
def test_nobody_waits_for_the_other_end_of_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look: Callable[[Path], object]
) -> None:
    os.mkfifo(tmp_path / "lock")
    opened: list[int] = []
    plain = os.open

    def noted(path: Path, flags: int, *mode: int) -> int:
        opened.append(flags)
        return plain(path, flags | os.O_NONBLOCK, *mode)

    monkeypatch.setattr(os, "open", noted)
    look(tmp_path / "lock")
    assert opened and all(flags & os.O_NONBLOCK for flags in opened)


def test_a_file_of_another_user_is_not_created_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses O_CREAT on it in a folder with the sticky bit (fs.protected_regular)."""
    path = tmp_path / "lock"
    path.write_text("")
    opened: list[int] = []
    plain = os.open

    def noted(path: Path, flags: int, *mode: int) -> int:
        opened.append(flags)
        return plain(path, flags, *mode)

    monkeypatch.setattr(os, "open", noted)
    lock = FileLock(path)
    assert lock.acquire({})
    lock.release()
    assert not any(flags & os.O_CREAT for flags in opened)


def test_a_file_that_appears_meanwhile_keeps_its_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    plain = os.open

    def raced(name: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and not path.exists():
            os.close(plain(path, os.O_WRONLY | os.O_CREAT, 0o600))
        return plain(name, flags, *mode)

    monkeypatch.setattr(os, "open", raced)
    lock = FileLock(path, common=True)
    assert lock.acquire({})
    lock.release()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("umask", "common", "rights"),
    [(0o077, True, 0o666), (0o022, False, 0o640), (0o002, False, 0o660), (0, False, 0o660)],
)
def test_only_a_common_lock_can_be_held_by_every_user(
    tmp_path: Path, umask: int, common: bool, rights: int
) -> None:
    before = os.umask(umask)
    try:
        lock = FileLock(tmp_path / "lock", common=common)
        assert lock.acquire({})
    finally:
        os.umask(before)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == rights
    lock.release()


def test_a_lock_that_every_user_could_hold_until_now_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("")
    path.chmod(0o666)
    lock = FileLock(path)
    assert lock.acquire({})
    lock.release()
    assert path.stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("notes", [b"[" * 4000, b"{" * 5000, b"\xff\xfe", b'"text"'])
def test_notes_without_sense_are_none(tmp_path: Path, notes: bytes) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire({})
    (tmp_path / "lock").write_bytes(notes)
    assert holder_of(tmp_path / "lock") == {}
    lock.release()


def test_of_very_long_notes_the_beginning_is_read(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire({})
    (tmp_path / "lock").write_text('{"pid": ' + " " * 5000 + "7}")
    assert holder_of(tmp_path / "lock") == {}
    lock.release()


@pytest.mark.parametrize("code", [errno.EACCES, errno.ELOOP, errno.ENXIO])
def test_what_cannot_be_opened_is_held_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", refused)
    assert holder_of(tmp_path / "lock") is None


def test_a_full_disk_costs_the_notes_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire({"pid": 7})
    assert holder_of(tmp_path / "lock") == {}
    lock.release()
