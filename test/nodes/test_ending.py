"""A signal ends a program at whatever moment it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from aegis_ros.nodes.ending import ENDING

# The lock is what `wait` holds for a moment when it begins.
_PROGRAM = """
import signal, sys, threading
from aegis_ros.nodes.ending import end_on_signals, wait_for
end = threading.Event()
end_on_signals(end)
with end._cond:
    signal.raise_signal(int(sys.argv[1]))
wait_for(end)
print("ended")
"""


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_comes_while_the_program_begins_to_wait_ends_it(
    number: signal.Signals,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(int(number))],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert ended.stdout == "ended\n"


# Blocked on the main thread, the signal comes on another one and wakes nobody: as where the main
# thread is about to sleep, or hangs in a library.
_ELSEWHERE = """
import os, signal, sys, threading, time
from aegis_ros.nodes.ending import end_on_signals
end, begun = threading.Event(), threading.Event()
end_on_signals(end)

def beside():
    begun.set()
    time.sleep(600)

threading.Thread(target=beside, daemon=True).start()
begun.wait()
signal.pthread_sigmask(signal.SIG_BLOCK, [int(sys.argv[1])])
threading.Timer(0.1, os.kill, (os.getpid(), int(sys.argv[1]))).start()
print(end.wait(100))
"""


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_heard_while_the_main_thread_hears_nothing(number: signal.Signals) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(int(number))],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert ended.stdout == "True\n"


_KEPT = """
import sys, threading, time
from aegis_ros.nodes.ending import run_and_leave

class Kept:
    def __del__(self):
        print("taken down")

kept = Kept()
threading.Thread(target=time.sleep, args=(600,)).start()
def main():
    print("said")
    return 3
run_and_leave(main)
"""


def test_a_program_ends_with_what_it_has_said_whatever_is_left_of_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _KEPT], capture_output=True, text=True, timeout=100, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "said\n", "")
