"""What Fast DDS left of a killed process is removed, and nothing else."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aegis_ros.nodes import dds_leftovers
from aegis_ros.nodes.dds_leftovers import remove_leftovers

_SEGMENT = "fastrtps_0123456789abcdef"
_WAIT_SECONDS = 100.0


def _made(path: Path, size: int = 0, age_s: float = 3600.0) -> Path:
    path.write_bytes(bytes(size))
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def _segment(folder: Path, name: str = _SEGMENT, **how: float) -> list[Path]:
    return [_made(folder / name, 8192, **how), _made(folder / f"{name}_el", **how)]


def test_a_segment_whose_owner_is_dead_is_removed_with_its_lock(tmp_path: Path) -> None:
    _segment(tmp_path)
    _segment(tmp_path, "fastdds_fedcba9876543210")
    _made(tmp_path / "fastrtps_00000000000000ff_el")  # its segment went before
    count, size = remove_leftovers(tmp_path)
    assert count == 3 and size >= 2 * 8192
    assert not list(tmp_path.iterdir())
    assert remove_leftovers(tmp_path) == (0, 0)


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_a_segment_whose_owner_lives_stays(tmp_path: Path, how: int) -> None:
    _, lock = _segment(tmp_path)
    with lock.open("rb") as held:
        fcntl.flock(held, how)
        assert remove_leftovers(tmp_path) == (0, 0)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_not_surely_a_leftover_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    _made(other, 8192)
    kept = [
        *_segment(tmp_path, "fastrtps_1111111111111111", age_s=0.0),  # being made
        _made(tmp_path / "fastrtps_2222222222222222", 8192),  # without a lock
        _made(tmp_path / "fastrtps_port7411"),
        _made(tmp_path / "fastrtps_port7411_el"),
        _made(tmp_path / "sem.fastrtps_port7411_mutex"),
        _made(tmp_path / "fastrtps_3333_el"),
        _made(tmp_path / "camera_0123456789abcdef_el"),
    ]
    link = tmp_path / "fastrtps_4444444444444444_el"
    link.symlink_to(other)
    linked = _made(tmp_path / "fastrtps_5555555555555555_el")
    segment = linked.with_name("fastrtps_5555555555555555")
    segment.symlink_to(other)
    (tmp_path / "fastrtps_6666666666666666_el").mkdir()
    os.mkfifo(tmp_path / "fastrtps_7777777777777777_el")
    twice = _segment(tmp_path, "fastrtps_8888888888888888")
    twice += _segment(tmp_path, "fastrtps_9999999999999999")
    os.link(twice[1], tmp_path / "lock under another name")
    os.link(twice[2], tmp_path / "segment under another name")
    assert remove_leftovers(tmp_path) == (0, 0)
    assert all(path.exists() for path in (*kept, *twice, other, link, linked, segment))
    # Another user's: none of these is left to root.
    _segment(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert remove_leftovers(tmp_path) == (0, 0)
    assert (tmp_path / _SEGMENT).exists()


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert remove_leftovers(tmp_path / "nowhere") == (0, 0)


_TALKER = """
import sys, time
import rclpy
rclpy.init()
node = rclpy.create_node("talker")
print(rclpy.get_rmw_implementation_identifier(), flush=True)
time.sleep(1000)
"""


def _locks() -> set[str]:
    return {name for name in os.listdir("/dev/shm") if dds_leftovers._LOCK.fullmatch(name)}


def test_segments_of_the_real_fast_dds_go_when_their_owner_was_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only those of this test's own process are looked at."""
    monkeypatch.setattr(dds_leftovers, "_LEAST_AGE_S", -1.0)
    before = _locks()
    talker = subprocess.Popen([sys.executable, "-c", _TALKER], stdout=subprocess.PIPE, text=True)
    try:
        assert talker.stdout is not None
        if not talker.stdout.readline().startswith("rmw_fastrtps"):
            pytest.skip("needs rmw_fastrtps_cpp as RMW_IMPLEMENTATION")
        own = _held_by(talker.pid, _locks() - before)
        assert own
        lock = Path("/dev/shm") / own[0]
        assert dds_leftovers._remove(lock) is None and lock.exists()
        talker.send_signal(signal.SIGKILL)
        talker.wait(_WAIT_SECONDS)
        assert (dds_leftovers._remove(lock) or 0) > 0
        assert not lock.exists() and not lock.with_name(lock.name[:-3]).exists()
    finally:
        talker.kill()
        talker.wait()
        if talker.stdout is not None:
            talker.stdout.close()


def _held_by(pid: int, names: set[str]) -> list[str]:
    """Return which of these files a process has open."""
    held = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(os.readlink(each))
        except OSError:
            continue
    return sorted(name for name in names if f"/dev/shm/{name}" in held)


_ORCHESTRATOR = """
import sys
from pathlib import Path
from aegis_ros.nodes import dds_leftovers
dds_leftovers.remove_leftovers.__defaults__ = (Path(sys.argv.pop(1)),)
from aegis_ros.nodes.orchestrator_main import program
program()
"""


def test_an_orchestrator_that_starts_removes_what_is_left_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "shm"
    folder.mkdir()
    _segment(folder)
    log = tmp_path / "log"
    command = [sys.executable, "-c", _ORCHESTRATOR, str(folder), "--ros-args"]
    command += ["-p", "autostart:=false", "-r", f"__ns:=/leftovers_{os.getpid()}"]
    with log.open("wb") as output:
        node = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while "removed 1 shared-memory segments of Fast DDS" not in log.read_text():
            assert node.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        assert not list(folder.iterdir())
    finally:
        node.kill()
        node.wait()
