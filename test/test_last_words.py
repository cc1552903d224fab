"""A process of the tests that crashes says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from test.backends.extras import needs

_ROOT = Path(__file__).parents[1]


def run(folder: Path, tests: str, *options: str) -> str:
    """Run tests in a process of their own; return what was shown."""
    (folder / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "test.last_words", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "-c", "/dev/null", "--rootdir", folder, *options, folder / "test_it.py"],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ran.returncode != 0
    return ran.stdout


def test_what_a_worker_wrote_as_it_crashed_is_shown_with_the_test(tmp_path: Path) -> None:
    shown = run(
        tmp_path,
        """
import os

def test_before():
    os.write(2, b"of no interest")

def test_that_dies():
    os.write(2, b"terminate called: the reason why")
    os.abort()
""",
        *("-n", "1", "--max-worker-restart", "0"),
    )
    assert "crashed while running 'test_it.py::test_that_dies'" in shown
    assert "terminate called: the reason why" in shown
    assert "of no interest" not in shown


@needs("tvm")
def test_a_segmentation_fault_shows_its_test_where_tvm_was_loaded(tmp_path: Path) -> None:
    """It installs a handler of its own, which knows nothing of Python."""
    shown = run(
        tmp_path,
        """
import ctypes

def test_that_loads_it():
    import tvm_ffi

def test_that_dies():
    ctypes.string_at(0)
""",
        *("-n", "0"),
    )
    assert "Fatal Python error: Segmentation fault" in shown
    assert "in test_that_dies" in shown
