"""Test processes do not hear each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from test.domains import own_domain

_TAKE = """
import sys
from pathlib import Path
from test.domains import own_domain
print(own_domain([7, 8], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def test_no_two_processes_have_one_domain_and_a_killed_one_leaves_its_own(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _TAKE, str(tmp_path)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None and other.stdout.readline() == "7\n"
        assert own_domain([7, 8], tmp_path) == 8
        with pytest.raises(RuntimeError, match="all of 2"):
            own_domain([7, 8], tmp_path)
        other.kill()
    assert own_domain([7, 8], tmp_path) == 7
