"""What Ctrl+C does to a block, and to a program that has not begun anything."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aegis_ros
from aegis_ros.sandbox.ctrl_c import INTERRUPTED, end_at_once, kept_from_children, unwound


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


# Nothing can be raised there; a weak reference has such a callback at the end of every import.
_IN_A_FINALIZER = """
import signal, time
from aegis_ros.sandbox.ctrl_c import unwound

class Last:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

with unwound():
    Last()
    time.sleep(100)
"""


def test_ctrl_c_that_comes_where_nothing_can_be_raised_comes_again() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _IN_A_FINALIZER], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (INTERRUPTED, "")


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


def test_ctrl_c_does_not_end_a_child_before_it_has_left_the_group() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    code = "import signal; signal.raise_signal(signal.SIGINT)"  # as if it had come meanwhile
    with kept_from_children():
        child = subprocess.Popen([sys.executable, "-c", code], process_group=0)
    assert child.wait() == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


_OF_THEIR_OWN = {"process_group", "start_new_session"}


def _starts(tree: ast.AST, kept: bool = False) -> Iterator[bool]:
    """Yield of every child in a group of its own whether it is kept from Ctrl+C."""
    if isinstance(tree, ast.With):
        kept = kept or "kept_from_children()" in map(ast.unparse, tree.items)
    if isinstance(tree, ast.Call):
        named = {keyword.arg for keyword in tree.keywords}
        if named & _OF_THEIR_OWN:
            yield kept
    for below in ast.iter_child_nodes(tree):
        yield from _starts(below, kept)


def test_all_children_in_groups_of_their_own_are_kept_from_ctrl_c() -> None:
    package = Path(aegis_ros.__path__[0])
    sources = {path: path.read_text() for path in package.rglob("*.py")}
    started = {
        str(path.relative_to(package)): tuple(found)
        for path, source in sources.items()
        if any(word in source for word in _OF_THEIR_OWN)  # to parse all takes a second
        and (found := list(_starts(ast.parse(source))))
    }
    # A program whose watcher does not begin is asked to end itself, and ends what it has started.
    assert started.pop("sandbox/descendants.py") == (False,)
    assert len(started) >= 4 and all(map(all, started.values())), started
