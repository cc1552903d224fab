"""A node that is asked to end while it is configured ends with code 0 and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from test.network.builders import identity_network

_WAIT_SECONDS = 100.0
_TASKS = 20  # to prepare and measure all of them takes longer than it takes to ask for the end


def _scratch(folder: Path) -> list[Path]:
    return [path for path in (folder / "state").rglob("aegis_scratch_*") if path.is_dir()]


def _session_of(pid: int) -> set[int]:
    """Return the processes of a session that live, without its leader."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:  # it has ended meanwhile
            continue
        if int(session) == pid and state != "Z":
            found.add(int(stat.parent.name))
    return found - {pid}


def _is_preparing(folder: Path, node: int) -> bool:
    return bool(_scratch(folder))


def _is_measuring(folder: Path, node: int) -> bool:
    return "measuring" in (folder / "log").read_text()


def _has_children(folder: Path, node: int) -> bool:
    return bool(_session_of(node))


def _start(tmp_path: Path, tasks: int = _TASKS) -> subprocess.Popen[bytes]:
    """Start a node in a session of its own."""
    entries = []
    for index in range(tasks):
        model = identity_network(tmp_path / f"net{index}.onnx", (1, 3, 12 + index, 16))
        entries.append(
            f"  - {{name: task{index}, model: '{model}', period_ms: 1000,\n"
            f"     input: {{topic: /camera{index}, max_size: [64, 64]}},\n"
            f"     preprocess: {{size: [{12 + index}, 16]}}, output: {{topic: /out{index}}}}}\n"
        )
    config = tmp_path / "robot.yaml"
    config.write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], realtime_priority: 0}\n"
        f"models: {{roots: ['{tmp_path}']}}\ntasks:\n{''.join(entries) or '  []'}"
    )
    command = [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
    command += ["-p", f"config:={config}", "-p", f"state_dir:={tmp_path / 'state'}"]
    # A name of its own: nodes of other tests, and of the case before, may still be listed.
    command += ["-p", "status_period_s:=0.05", "-r", f"__ns:=/{tmp_path.name}"]
    with (tmp_path / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("under_way", [_has_children, _is_preparing, _is_measuring])
def test_a_node_that_is_ended_while_it_is_configured_leaves_nothing_behind(
    tmp_path: Path, under_way: Callable[[Path, int], bool], number: signal.Signals
) -> None:
    node = _start(tmp_path)
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while not under_way(tmp_path, node.pid):
            assert time.monotonic() < end and node.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.002)
        node.send_signal(number)
        code = node.wait(_WAIT_SECONDS)
    finally:
        node.kill()
        node.wait()
    said = (tmp_path / "log").read_text()
    assert code == 0, said
    assert "[ERROR]" not in said and "stopped on request" in said, said
    assert not _scratch(tmp_path)
    while _session_of(node.pid):  # its children end with it, a moment later
        assert time.monotonic() < end, "a child lives on"
        time.sleep(0.01)


def test_what_a_node_leaves_that_is_killed_goes_when_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    node = _start(tmp_path)
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while not _scratch(tmp_path):
            assert time.monotonic() < end and node.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.002)
    finally:
        node.kill()  # SIGKILL
        node.wait()
    while _session_of(node.pid):  # its children end with it, a moment later
        assert time.monotonic() < end, "a child lives on"
        time.sleep(0.01)
    left = _scratch(tmp_path)
    assert left
    counting = temporary / "aegis_scratch_of_a_program_that_is_gone"
    counting.mkdir()
    (counting / "0.npy").touch()
    node = _start(tmp_path, tasks=0)
    try:
        while any(each.exists() for each in (*left, counting)):
            assert time.monotonic() < end and node.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.01)
    finally:
        node.kill()
        node.wait()
