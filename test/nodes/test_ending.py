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
        timeout=30,
        check=True,
    )
    assert ended.stdout == "ended\n"
