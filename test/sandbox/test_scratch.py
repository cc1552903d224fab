"""Scratch folders: each goes with its owner, at the latest when the next one begins."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.sandbox import scratch
from aegis_ros.sandbox.children import child_environment
from aegis_ros.sandbox.scratch import Scratch, remove_abandoned

_OWNER = """
import sys, time
from pathlib import Path
from aegis_ros.sandbox.scratch import Scratch
held = Scratch(Path(sys.argv[1]))
(held.path / "nested" / "deep").mkdir(parents=True)
(held.path / "nested" / "half").write_bytes(bytes(1000))
print(held.path, flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that holds a scratch folder in ``tmp_path``."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=child_environment(),
    )
    assert process.stdout is not None
    with process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_a_scratch_folder_begins_empty_and_goes_when_it_is_left(tmp_path: Path) -> None:
    with Scratch(tmp_path) as folder:
        assert folder.parent == tmp_path and not list(folder.iterdir())
        (folder / "half").touch()
    assert not list(tmp_path.iterdir())


def test_only_its_user_opens_a_scratch_folder(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Scratch(tmp_path) as folder:
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_a_scratch_folder_goes_when_its_owner_forgets_it(tmp_path: Path) -> None:
    held = Scratch(tmp_path)
    del held
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("begin", [lambda folder: Scratch(folder).close(), remove_abandoned])
def test_what_a_killed_process_left_goes_when_the_next_one_begins_and_not_before(
    begin: Callable[[Path], None], owner: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    process, folder = owner
    begin(tmp_path)
    assert (folder / "nested" / "half").exists()
    process.kill()
    process.wait()
    assert folder.exists()
    begin(tmp_path)
    assert not list(tmp_path.iterdir())


def test_whoever_leaves_its_own_leaves_that_of_others(tmp_path: Path) -> None:
    with Scratch(tmp_path) as first:
        Scratch(tmp_path).close()
        assert first.exists()


def test_nothing_else_is_taken_for_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (tmp_path / "aegis_scratch_file").touch()
    os.mkfifo(tmp_path / "aegis_scratch_pipe")
    (tmp_path / "aegis_scratch_link").symlink_to(precious)
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(tmp_path, tmp_path / "nowhere", precious / "file")
    assert sorted(tmp_path.rglob("*")) == before
    others = tmp_path / "aegis_scratch_others"
    others.mkdir()
    user = os.geteuid()
    with monkeypatch.context() as another:
        another.setattr(os, "geteuid", lambda: user + 1)
        remove_abandoned(tmp_path)
    assert others.exists()
    remove_abandoned(tmp_path)
    assert not others.exists()


def test_a_folder_that_is_taken_for_left_over_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make, lock = tempfile.mkdtemp, fcntl.flock

    def taken_at_once(**where: Any) -> str:
        made.append(make(**where))
        if len(made) == 1:
            remove_abandoned(tmp_path)
        return made[-1]

    def taken_before(descriptor: int, how: int) -> None:
        if len(made) == 2 and how == fcntl.LOCK_EX:
            os.rmdir(made[-1])
        lock(descriptor, how)

    monkeypatch.setattr(tempfile, "mkdtemp", taken_at_once)
    monkeypatch.setattr(fcntl, "flock", taken_before)
    with Scratch(tmp_path) as folder:
        assert len(made) == 3 and [folder] == list(tmp_path.iterdir())
        remove_abandoned(tmp_path)
        assert folder.exists()


def test_without_locks_scratch_folders_work_and_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with Scratch(tmp_path) as folder:
        remove_abandoned(tmp_path)
        assert folder.exists()
    assert not folder.exists()


def test_what_cannot_be_removed_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(folder: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as another:
        another.setattr(scratch, "remove_tree", refused)
        with Scratch(tmp_path) as folder:
            pass
    assert caplog.messages == [f"{folder} cannot be removed: Operation not permitted"]
    remove_abandoned(tmp_path)
    assert not folder.exists()


def test_many_that_begin_at_once_each_have_one_of_their_own(tmp_path: Path) -> None:
    """Each looks for what is left over while the others make theirs."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom aegis_ros.sandbox.scratch import Scratch\n"
        "for _ in range(200):\n"
        "    with Scratch(Path(sys.argv[1])) as folder:\n"
        "        (folder / 'made').touch()\n"
        "        assert (folder / 'made').exists()\n"
    )
    several = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stderr=subprocess.PIPE,
            env=child_environment(),
        )
        for _ in range(3)
    ]
    for each in several:
        said = each.communicate(timeout=120)[1]
        assert each.returncode == 0, said.decode()
    assert not list(tmp_path.iterdir())
