"""Where the environment does not let a program start, it says why in one sentence and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aegis_ros.errors import ConfigError
from aegis_ros.nodes.starting import starting

_PROGRAMS = ("orchestrator_main", "monitor", "replay", "dashboard", "chat", "demo")
_ROOT = Path(__file__).resolve().parents[2]


def _started(program: str, folder: Path, **changed: str | None) -> str:
    """Run a program, which must end by itself and not with a traceback; return what it says."""
    if program in ("dashboard", "chat"):
        pytest.importorskip("fastapi", reason=f"the extra `{program}` is not installed")
    environment = {name: value for name, value in os.environ.items() if changed.get(name, value)}
    ended = subprocess.run(
        [
            *(sys.executable, "-m", f"aegis_ros.nodes.{program}"),
            *(("--output", str(folder)) if program == "demo" else ()),
        ],
        env=environment | {name: value for name, value in changed.items() if value is not None},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    return ended.stderr


@pytest.mark.parametrize("program", _PROGRAMS)
def test_a_domain_that_is_no_number_is_named(program: str, tmp_path: Path) -> None:
    said = _started(program, tmp_path, ROS_DOMAIN_ID="robot")
    assert "ROS_DOMAIN_ID: no ROS domain (got robot); expected a whole number from 0 to 232" in said


def test_a_home_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where the folder should be")
    home = str(tmp_path / "home")
    said = _started("orchestrator_main", tmp_path, HOME=home, ROS_LOG_DIR=None, ROS_HOME=None)
    assert f"HOME: the folder for ROS's log cannot be created (got {home})" in said
    assert "Set ROS_LOG_DIR" in said


def test_no_home_is_named(tmp_path: Path) -> None:
    said = _started("orchestrator_main", tmp_path, HOME=None, ROS_LOG_DIR=None, ROS_HOME=None)
    assert "rcutils" not in said, "ROS is not even asked"
    assert "HOME: the folder for ROS's log cannot be created (got nothing)" in said


@pytest.mark.parametrize("domain", ["233", "-1", "1.5"])
def test_domains_that_have_no_ports_are_refused(
    domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    with pytest.raises(ConfigError, match=r"0 to 232"), starting():
        raise AssertionError("nothing may be started")


@pytest.mark.parametrize("domain", ["", "0", "232"])
def test_other_errors_stay_what_they_are(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    monkeypatch.delenv("ROS_SECURITY_ENABLE", raising=False)
    with pytest.raises(RuntimeError, match="anything else"), starting():
        raise RuntimeError("anything else")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_orchestrator_that_is_ended_while_it_still_imports_ends_quietly(
    number: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "rclpy.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(600)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        end = time.monotonic() + 60.0
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < end and program.poll() is None
            time.sleep(0.05)
        program.send_signal(number)
        output, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert (program.returncode, output, errors) == (0, "", "")


_BEGUN = """
import sys, threading, time
from aegis_ros.nodes import orchestrator, orchestrator_main
orchestrator_main._END_SECONDS = 0.2
threading.Thread(target=time.sleep, args=(600,)).start()  # what keeps an interpreter from ending

def made():
    print("begun", flush=True)
    {what}

orchestrator.OrchestratorNode = made
orchestrator_main.program()
"""


def _begun(what: str) -> subprocess.Popen[str]:
    """Start an orchestrator that does something else instead of making its node."""
    program = subprocess.Popen(
        [sys.executable, "-c", _BEGUN.format(what=what)],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None and program.stdout.readline() == "begun\n"
    return program


@pytest.mark.parametrize(
    ("what", "code", "says"),
    [
        ("raise KeyError('a fault of ours')", 1, "KeyError: 'a fault of ours'"),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit", 0, ""),
    ],
)
def test_an_orchestrator_ends_whatever_is_raised_while_it_starts(
    what: str, code: int, says: str
) -> None:
    with _begun(what) as program:
        try:
            _, errors = program.communicate(timeout=60)
        finally:
            program.kill()
    assert program.returncode == code
    assert says in errors


def test_an_orchestrator_that_hangs_while_its_node_is_made_can_be_ended() -> None:
    with _begun("time.sleep(600)") as program:
        try:
            program.send_signal(signal.SIGTERM)
            program.communicate(timeout=60)
        finally:
            program.kill()
    assert program.returncode == 0
