"""What Ctrl+C does to a block, and to a program that has not begun anything."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from aegis_ros.sandbox.ctrl_c import INTERRUPTED, end_at_once, unwound


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# A program of its own: the libraries that other tests load may do with a signal what they like.
_UNWOUND = """
import signal
from aegis_ros.sandbox.ctrl_c import unwound
try:
    with unwound():
        try:
            signal.raise_signal(signal.SIGINT)
        except SystemExit as error:
            raise ImportError("numpy failed to import") from error
finally:
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_whatever_a_library_makes_of_ctrl_c_it_is_ctrl_c() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _UNWOUND], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (INTERRUPTED, "True\n", "")


def test_an_error_of_another_cause_stays_what_it_is() -> None:
    with pytest.raises(ImportError, match="no such module"), unwound():
        raise ImportError("no such module")


def test_what_ignores_ctrl_c_goes_on_doing_so() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_at_once(1)
    with unwound():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_program_that_has_begun_nothing_ends_at_once_with_its_code() -> None:
    code = (
        "import signal\n"
        "from aegis_ros.sandbox.ctrl_c import end_at_once\n"
        "end_at_once(7, [signal.SIGTERM])\n"
        "try:\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "finally:\n"
        "    print('not at once')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"", b"")
