"""Ends what a program has started, and what that has started, when the program itself is gone.

However it ends: a program that is killed runs none of its own code any more. So a second process
watches it. Everything that is started meanwhile carries a mark in its environment, which children
inherit: also those in a session of their own, those whose parent is gone, and those that another
program, as `ros2 launch`, has started. PR_SET_PDEATHSIG (:mod:`~aegis_ros.sandbox.parent`) knows
none of these, and looks at the thread that starts a process, which may end much earlier.

The watcher runs this very file, without the package: it imports the standard library alone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["MARK", "end_with_this_process", "marked"]

#: Of the environment: one word for each program that a process ends with.
MARK = "AEGIS_ENDS_WITH"
_PATIENCE_S = 10.0  # a node that hangs on its way out ends itself within eight
_LOOK_S = 0.05
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_watchers: list[subprocess.Popen[bytes]] = []  # of this process: one, once it is asked for


def end_with_this_process(held: Sequence[int] = (), patience_s: float = _PATIENCE_S) -> None:
    """Have whatever this process starts from now on end when it has ended itself.

    It is asked to (SIGTERM), and killed where it does not. A second call changes nothing.

    Args:
        held: descriptors that stay open until all of that is gone, as that of a lock which
            others take to begin in the same place.
        patience_s: how long after it is asked to end a process is killed.
    """
    if _watchers:
        return
    before = os.environ.get(MARK, "").split()
    word = f"{os.getpid()}.{time.monotonic_ns()}"
    _watchers.append(
        subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), word, str(patience_s)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=tuple(held),
            start_new_session=True,  # whatever ends this process and its group spares the watcher
        )
    )
    os.environ[MARK] = " ".join([*before, word])


def marked(word: str) -> list[int]:
    """Return the processes that carry a word of :data:`MARK` and have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
        for entry in environment:
            name, _, value = entry.partition(b"=")
            if name == MARK.encode() and word.encode() in value.split():
                found.append(int(path.parent.name))
    return found


def _watch(parent: int, word: str, patience_s: float) -> None:
    """Wait until a process has ended, and end all that carries the word."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _wait_for(parent)
    end = time.monotonic() + patience_s
    asked: set[int] = set()
    while found := marked(word):  # they may start more while they end
        late = time.monotonic() > end
        for pid in found:
            if late or pid not in asked:
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(_LOOK_S)


def _wait_for(parent: int) -> None:
    """Return when the process that started this one has ended."""
    try:
        ended = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    if os.getppid() == parent:  # else it is another one of this number
        select.select([ended], [], [])


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
