"""Whatever a program has started ends with it, also when it is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aegis_ros.sandbox.descendants import marked
from test.waiting import until

_WAIT_SECONDS = 100.0

# Starts a process, in one way or another, and ends when its stdin does.
_PROGRAM = """
import os, subprocess, sys, threading
from aegis_ros.sandbox.descendants import MARK, end_with_this_process

way, patience_s, folder = sys.argv[1:]
end_with_this_process(patience_s=float(patience_s))
end_with_this_process()
print(os.environ[MARK].split()[-1], flush=True)

STAYS = '''
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1], "asked").touch(), %s))
pathlib.Path(sys.argv[1], "begun").touch()
time.sleep(600)
'''

def start(then="sys.exit()", **options):
    return subprocess.Popen([sys.executable, "-S", "-c", STAYS % then, folder], **options)

if way == "in a session":
    start(start_new_session=True)
elif way == "by a thread that has ended":
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
elif way == "by a process that has ended":
    if os.fork() == 0:
        start(start_new_session=True)
        os._exit(0)
    os.wait()
else:
    start("None")  # does not end when it is asked to
sys.stdin.read()
"""


@contextmanager
def _begun(
    way: str, folder: Path, patience_s: float = 600.0
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program that has started a process; yield it and the word of what it started."""
    command = [sys.executable, "-c", _PROGRAM, way, str(patience_s), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            word = program.stdout.readline().strip()
            until((folder / "begun").exists)
            yield program, word
        finally:
            program.kill()


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize(
    "way", ["in a session", "by a thread that has ended", "by a process that has ended"]
)
def test_what_a_program_has_started_is_asked_to_end_with_it(
    way: str, killed: bool, tmp_path: Path
) -> None:
    with _begun(way, tmp_path) as (program, word):
        assert len(marked(word)) == 1
        if killed:
            program.kill()
        program.communicate(timeout=_WAIT_SECONDS)
        until(lambda: not marked(word))
    assert (tmp_path / "asked").exists()


def test_what_does_not_end_when_it_is_asked_to_is_killed(tmp_path: Path) -> None:
    with _begun("deaf", tmp_path, patience_s=0.2) as (program, word):
        program.kill()
        until(lambda: not marked(word))


def test_what_another_program_has_started_goes_on(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    with _begun("in a session", folders[0]) as (_, stays):
        with _begun("in a session", folders[1]) as (other, ends):
            other.kill()
            until(lambda: not marked(ends))
        assert len(marked(stays)) == 1
