"""Tests that are marked for it have a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_here: list[int] = []  # tests that ran in this process


@pytest.mark.own_process
@pytest.mark.parametrize("number", [1, 2])
def test_a_marked_test_shares_its_process_with_no_other(number: int) -> None:
    _here.append(number)
    assert _here == [number]


def test_what_goes_wrong_there_goes_wrong_here(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import os
import pytest

@pytest.mark.own_process
def test_that_is_wrong():
    assert "one thing" == "another"

@pytest.mark.own_process
def test_that_dies():
    os.write(2, b"the reason why")
    os.abort()

def test_that_is_left_alone():
    pass
"""
    )
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "test.own_process", "-p", "no:cacheprovider"),
            *("-n", "0", "-c", "/dev/null", "--rootdir", tmp_path, tmp_path / "test_it.py"),
        ],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert "2 failed, 1 passed" in ran.stdout, ran.stdout
    assert "'one thing' == 'another'" in ran.stdout
    assert "Fatal Python error: Aborted" in ran.stdout and "in test_that_dies" in ran.stdout
