"""Cores that a lane can be pinned to, whatever the process was started on."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aegis_ros.host import pinnable_cores

_FEWER = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from aegis_ros.host import pinnable_cores
found = pinnable_cores()
for core in found:
    os.sched_setaffinity(0, {core})
print(*sorted(found))
"""


def test_asking_leaves_the_process_where_it_was() -> None:
    before = os.sched_getaffinity(0)
    found = pinnable_cores()
    assert before <= found and os.sched_getaffinity(0) == before
    for absent in (set(range(4096)) - found, {max(found) + 1}):
        with pytest.raises(OSError, match="Invalid argument"):
            os.sched_setaffinity(0, absent)


def test_a_core_that_was_kept_from_the_process_can_be_given_to_a_lane() -> None:
    """As one is that was isolated at boot: normal programs do not have it in their affinity."""
    ran = subprocess.run([sys.executable, "-c", _FEWER], capture_output=True, text=True, check=True)
    assert {int(core) for core in ran.stdout.split()} == pinnable_cores()
