"""A child that works on a stranger's file: what it says comes back, what it tries does not work."""

from __future__ import annotations

import ast
import os
import platform
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import aegis_ros
from aegis_ros.errors import ModelError, StoppedError
from aegis_ros.rationale import Rule
from aegis_ros.sandbox.children import child_environment, run_child
from aegis_ros.sandbox.contained import make_way
from aegis_ros.sandbox.containment import Containment, landlock_version, memory_limit
from aegis_ros.sandbox.stopping import Stop
from test.waiting import until

GIB = 1024**3
MIB = 1024**2
needs_landlock = pytest.mark.skipif(
    not landlock_version(), reason="the kernel has no Landlock (Linux 5.13)"
)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def ask(
    do: str, allowed: Containment | None = None, timeout_s: float = 60, **how: Any
) -> Mapping[str, Any]:
    return run_child(
        "misbehaving",
        {"do": do, "how": how},
        allowed=allowed or Containment(memory_bytes=GIB),
        timeout_s=timeout_s,
        subject="n.onnx",
    )


def test_what_it_answers_comes_back() -> None:
    assert ask("echo", a=1, b=["é"]) == {"a": 1, "b": ["é"]}
    assert ask("echo") == {}


def test_it_makes_way_for_whoever_asked() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert ask("niceness") == {"niceness": min(19, own + 10)}


@pytest.mark.parametrize(
    ("policy", "left"),
    [(os.SCHED_RR, True), (os.SCHED_FIFO, True), (os.SCHED_OTHER, False), (os.SCHED_IDLE, False)],
)
def test_it_leaves_the_real_time_class_of_whoever_asked(
    monkeypatch: pytest.MonkeyPatch, policy: int, left: bool
) -> None:
    """Where niceness means nothing: it would take turns of 100 ms with the node."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "sched_getscheduler", lambda pid: policy)
    monkeypatch.setattr(
        os, "sched_setscheduler", lambda pid, to, how: given.append((to, how.sched_priority))
    )
    monkeypatch.setattr(os, "nice", lambda by: given.append((-1, by)))
    make_way()
    assert given == [(os.SCHED_OTHER, 0)] * left + [(-1, 10)]


def test_its_refusal_comes_back_whole() -> None:
    with pytest.raises(ModelError) as caught:
        ask("refuse")
    error = caught.value
    assert (error.problem, error.where, error.value, error.expected, error.hint, error.rule) == (
        "no", "model", "3", "4", "Take 4", Rule.MODEL_DIGEST,
    )  # fmt: skip


def test_what_libraries_print_is_no_answer_and_never_stops_it() -> None:
    assert ask("talk", size=4_000_000) == {"printed": True}


@pytest.mark.parametrize(
    "said",
    [
        "3",
        "[]",
        "{",
        "[" * 100_000,
        '{"problem": "no", "colour": "red"}',
        '{"problem": "no", "rule": "none"}',
        '{"problem": ["no"]}',
        '{"problem": "the disk refuses"}',
        "[" + '"x",' * 2_200_000 + "3]",
    ],
)
def test_an_answer_without_sense_is_a_refusal(said: str, tmp_path: Path) -> None:
    """A child that a model has taken over says what it likes."""
    (tmp_path / "said").write_text(said)
    allowed = Containment(memory_bytes=GIB, reads=(str(tmp_path),))
    with pytest.raises(ModelError, match="an answer that cannot be read"):
        ask("say", allowed, path=str(tmp_path / "said"))


def test_a_crash_is_a_refusal() -> None:
    with pytest.raises(ModelError, match="ended with SIGSEGV") as caught:
        ask("crash")
    assert "1024 MiB: raise device.arena_mib" in caught.value.hint


def test_one_that_the_system_ends_had_no_memory() -> None:
    with pytest.raises(ModelError, match="this machine has not enough memory"):
        ask("end_by", number=int(signal.SIGKILL))


def test_one_that_computes_for_too_long_is_told_so() -> None:
    with pytest.raises(ModelError, match="took longer than 60 s"):
        ask("end_by", number=int(signal.SIGXCPU))


def test_the_kernel_ends_one_that_nobody_waits_for_any_more() -> None:
    limits = ask("limits", Containment(memory_bytes=GIB), timeout_s=30)
    assert limits == {"CPU": 30 * (os.cpu_count() or 1), "CORE": 0, "DATA": GIB, "FSIZE": GIB}


def test_a_full_disk_is_no_fault_of_the_network() -> None:
    allowed = Containment(memory_bytes=GIB, writes=("/dev/full",))
    with pytest.raises(ModelError, match="the disk is full") as caught:
        ask("fill_disk", allowed, path="/dev/full", size=MIB)
    assert caught.value.rule is Rule.STATE
    assert "state_dir" in caught.value.hint


def test_a_file_that_is_gone_is_named() -> None:
    with pytest.raises(ModelError, match=r"a file of the network is gone \(/tmp/absent\)"):
        ask("open_file", path="/tmp/absent")


def test_a_module_that_cannot_be_imported_is_a_refusal() -> None:
    with pytest.raises(ModelError, match=r"ended with code 1 .*no_such_module"):
        run_child(
            "no_such_module",
            {},
            allowed=Containment(memory_bytes=GIB),
            timeout_s=60,
            subject="n.onnx",
        )


def test_one_that_does_not_come_back_is_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    allowed = Containment(memory_bytes=GIB, writes=(str(tmp_path),))
    with pytest.raises(ModelError, match="longer than 2 s"):
        ask("spin", allowed, timeout_s=2, note=str(note))
    if note.exists():  # a machine in a hurry may end it before it has written
        assert not _lives(int(note.read_text()))


def test_one_that_nobody_wants_any_more_is_ended_at_once(tmp_path: Path) -> None:
    place, stop = tmp_path / "pid", Stop()

    def work() -> None:
        with stop.applied():
            allowed = Containment(memory_bytes=GIB, writes=(str(tmp_path),))
            ask("stay", allowed, place=str(place))  # it would be told that this took too long

    with ThreadPoolExecutor(1) as threads:
        working = threads.submit(work)
        until(lambda: place.exists() or working.done())
        assert not working.done(), working.result()
        stop.set()
        with pytest.raises(StoppedError):
            working.result()
    assert not _lives(int(place.read_text()))


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "from test_children import *; "
        f"ask('spin', Containment(memory_bytes=GIB, writes=({str(tmp_path)!r},)), "
        f"timeout_s=600, note={str(note)!r})"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=child_environment())
    try:
        until(note.exists)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not _lives(int(note.read_text())))


def test_memory_above_its_limit_is_refused() -> None:
    assert ask("fill_memory", size=100 * MIB) == {"sum": 100 * MIB}
    with pytest.raises(ModelError, match="more than 1024 MiB of memory") as caught:
        ask("fill_memory", size=2 * GIB)
    assert "device.arena_mib" in caught.value.hint


def test_memory_that_it_shares_counts_as_well() -> None:
    with pytest.raises(ModelError, match="more than 500 MiB of memory"):
        ask("share_memory", Containment(memory_bytes=500 * MIB), size=GIB)


def test_an_answer_is_read_up_to_a_bound(tmp_path: Path) -> None:
    (tmp_path / "said").write_text('{"a": "' + "x" * 9 * MIB + '"}')
    allowed = Containment(memory_bytes=GIB, reads=(str(tmp_path),))
    with pytest.raises(ModelError, match="an answer that cannot be read"):
        ask("say", allowed, path=str(tmp_path / "said"))


def test_a_file_above_its_limit_is_refused(tmp_path: Path) -> None:
    allowed = Containment(memory_bytes=200 * MIB, writes=(str(tmp_path),))
    with pytest.raises(ModelError, match="more than 200 MiB of disk"):
        ask("fill_disk", allowed, path=str(tmp_path / "file"), size=300 * MIB)


@pytest.mark.parametrize("way", ["many", "nested", "unlinked", "deep", "empty"])
def test_files_that_are_too_much_together_are_refused(way: str, tmp_path: Path) -> None:
    allowed = Containment(memory_bytes=200 * MIB, writes=(str(tmp_path),))
    with pytest.raises(ModelError, match="more than 200 MiB of disk"):
        ask("fill_folder", allowed, folder=str(tmp_path), way=way, size=50 * MIB)


def test_what_an_earlier_child_has_left_is_not_counted(tmp_path: Path) -> None:
    with (tmp_path / "before").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 300 * MIB)
    allowed = Containment(memory_bytes=200 * MIB, writes=(str(tmp_path),))
    assert ask("fill_disk", allowed, path=str(tmp_path / "file"), size=100 * MIB) == {}


def test_it_has_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for family in (socket.AF_INET, socket.AF_INET6):
            assert ask("connect", family=family, port=port) == {"refused": "PermissionError"}


@pytest.mark.parametrize("devices", [False, True])
def test_it_asks_no_program_of_this_machine_to_do_what_it_may_not(
    devices: bool, tmp_path: Path
) -> None:
    """A session bus or a container daemon starts programs for whoever may connect."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(path)
        server.listen()
        answer = ask("local_socket", Containment(memory_bytes=GIB, devices=devices), path=path)
    assert answer == ({} if devices else {"refused": "PermissionError"})  # drivers have daemons


@pytest.mark.parametrize("devices", [False, True])
def test_it_makes_no_pair_of_sockets_either(devices: bool) -> None:
    """What is written to one waits in memory that is not the child's own."""
    answer = ask("pair", Containment(memory_bytes=GIB, devices=devices))
    assert answer == ({} if devices else {"refused": "PermissionError"})


def test_it_opens_no_more_files_than_a_build_needs() -> None:
    assert ask("open_pipes", most=900) == {}
    assert ask("open_pipes", most=1100) == {"refused": "EMFILE"}


# System calls that are the same on x86-64 and aarch64, and what is said to them.
_IO_URING, _CLONE3 = 425, 435


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no filter of calls")
def test_calls_that_would_make_sockets_or_processes_another_way_are_refused() -> None:
    assert ask("call", number=_IO_URING) == {"error": "EACCES"}
    assert ask("call", number=_CLONE3) == {"error": "ENOSYS"}  # libraries then use clone


@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls of x86-64")
@pytest.mark.parametrize("number", [57, 58, 319, 29, 447, 0x40000000 + 41, 0x40000000 + 57])
def test_calls_that_only_x86_64_has_are_refused(number: int) -> None:
    """Of forks, of memory that nobody counts, and of the 32-bit pointers of x32."""
    assert ask("call", number=number) == {"error": "EACCES"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls of x86-64")
@pytest.mark.parametrize("devices", [False, True])
def test_calls_of_32_bit_programs_are_no_way_around(devices: bool) -> None:
    """Their numbers are others: the 359 that makes a socket there is none of 64 bits."""
    allowed = Containment(memory_bytes=GIB, devices=devices)
    assert ask("call", allowed, number=359, bits=32) == {"error": "EACCES"}


def test_nothing_of_the_folder_it_starts_in_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Robots are started from /tmp, too, where every user may put a module."""
    for name in ("json", "numpy", "onnx"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    assert ask("fill_memory", size=MIB) == {"sum": MIB}


@needs_landlock
def test_nothing_of_the_folder_it_starts_in_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key.pem").write_text("secret")
    monkeypatch.chdir(tmp_path)
    assert ask("read", path=str(tmp_path / "key.pem")) == {"refused": "PermissionError"}


@pytest.mark.parametrize("devices", [False, True])
@pytest.mark.parametrize("way", ["fork", "subprocess", "spawn"])
def test_it_starts_no_process_whose_memory_nobody_would_count(way: str, devices: bool) -> None:
    allowed = Containment(memory_bytes=GIB, devices=devices)
    assert ask("begin_process", allowed, way=way) == {"refused": "PermissionError"}
    assert ask("begin_threads", allowed, count=8) == {"done": 8}


@needs_landlock
def test_it_reads_and_writes_only_what_it_is_given(tmp_path: Path) -> None:
    given, other, scratch = tmp_path / "given", tmp_path / "other", tmp_path / "scratch"
    scratch.mkdir()
    for file in (given, other):
        file.write_text(file.name)
    allowed = Containment(memory_bytes=GIB, reads=(str(given),), writes=(str(scratch),))
    no = {"refused": "PermissionError"}
    assert ask("read", allowed, path=str(given)) == {"content": "given"}
    assert ask("read", allowed, path=str(other)) == no
    assert ask("write", allowed, path=str(scratch / "made")) == {}
    assert ask("write", allowed, path=str(given)) == no
    assert ask("write", allowed, path=str(tmp_path / "new")) == no
    assert given.read_text() == "given"


@pytest.mark.skipif(landlock_version() < 6, reason="the kernel's Landlock knows no scopes (6.12)")
def test_it_cannot_signal_others() -> None:
    assert ask("signal", pid=os.getpid()) == {"refused": "PermissionError"}


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Containment:
    """What a child may do that builds for a GPU; the folder of others' temporary files is apart."""
    for name in ("scratch", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    scratch = str(tmp_path / "scratch")
    return Containment(memory_bytes=500 * MIB, writes=(scratch,), devices=True)


def test_a_build_for_a_gpu_may_reserve_memory_but_not_take_more_than_its_limit(
    build: Containment,
) -> None:
    assert ask("reserve_memory", build, size=100 * GIB) == {}
    with pytest.raises(ModelError, match="more than 500 MiB of memory"):
        ask("hold_memory", build, size=GIB)


def test_a_build_for_a_gpu_that_takes_too_long_is_ended(build: Containment) -> None:
    with pytest.raises(ModelError, match="longer than 2 s"):
        ask("spin", build, timeout_s=2)


def test_a_file_that_a_build_for_a_gpu_writes_has_the_same_limit(
    build: Containment, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="more than 500 MiB of disk"):
        ask("fill_disk", build, path=str(tmp_path / "scratch" / "file"), size=600 * MIB)


@needs_landlock
def test_a_build_for_a_gpu_writes_only_where_drivers_do_and_what_it_is_given(
    build: Containment, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_text("other")
    assert ask("read", build, path=str(other)) == {"content": "other"}
    assert ask("write", build, path=str(other)) == {"refused": "PermissionError"}
    assert ask("write", build, path=str(tmp_path / "new")) == {"refused": "PermissionError"}
    assert other.read_text() == "other" and not (tmp_path / "new").exists()
    for shared in (str(tmp_path / "temporary"), "/dev/shm", "/tmp", "/dev"):
        place = f"{shared}/aegis_{tmp_path.name}"
        assert ask("write", build, path=place) == {"refused": "PermissionError"}
    for given in (str(tmp_path / "scratch" / "made"), "/dev/null", "/dev/zero"):
        assert ask("write", build, path=given) == {}
    assert ask("temporary", build) == {"folder": str(tmp_path / "scratch")}


def test_the_limit_grows_with_the_network() -> None:
    assert memory_limit(GIB, devices=True) == memory_limit(GIB) + 6 * GIB
    assert memory_limit(0) == 2 * GIB
    assert memory_limit(GIB) == 6 * GIB


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_whatever_is_started_with_this_interpreter_imports_nothing_of_the_folder_it_starts_in() -> (
    None
):
    """By an option of the interpreter, or by an environment that says the same."""
    package = Path(aegis_ros.__file__).parent
    begun = {
        f"{path.relative_to(package)}: {each.name}": ast.unparse(each)
        for path in package.rglob("*.py")
        if "sys.executable" in (text := path.read_text())
        for each in ast.walk(ast.parse(text))
        if isinstance(each, ast.FunctionDef) and "[sys.executable, " in ast.unparse(each)
    }
    begun.pop("nodes/starting_again.py: start_again")  # as its user has started it
    assert len(begun) > 6
    safe = re.compile(r"'-[PI]'|\b(child)?_environment\(\)|\*_CHILD\b")
    assert [name for name, source in begun.items() if not safe.search(source)] == []
