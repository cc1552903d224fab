"""Loads run on cores that no network uses, and end with the measurement."""

from __future__ import annotations

import os

import pytest

from aegis_ros.errors import ConfigError
from aegis_ros.wcet import Stress
from aegis_ros.wcet.stress import other_cores, stressed


@pytest.mark.parametrize(
    ("lanes", "cores", "free"),
    [
        ((1,), {0, 1}, (0,)),
        ((1, 2), {0, 1, 2, 3}, (0, 3)),
        ((None,), {0, 1, 2}, (1, 2)),
        ((0,), {0}, ()),
        ((None,), {0}, ()),
    ],
)
def test_a_load_stays_off_the_cores_of_lanes(
    lanes: tuple[int | None, ...], cores: set[int], free: tuple[int, ...]
) -> None:
    assert other_cores(lanes, frozenset(cores)) == free


def test_no_load_needs_no_core() -> None:
    with stressed(Stress.NONE, ()):
        pass


def test_a_load_without_a_core_is_refused() -> None:
    with pytest.raises(ConfigError, match="no core is left"), stressed(Stress.MEMORY, ()):
        pass


@pytest.mark.parametrize("stress", [Stress.MEMORY, Stress.COMPUTE])
def test_a_load_runs_until_the_block_ends(stress: Stress) -> None:
    core = min(os.sched_getaffinity(0))
    with stressed(stress, (core,)):
        children = _children()
        assert any("aegis_ros.wcet.stress" in command for command in children)
    assert not any("aegis_ros.wcet.stress" in command for command in _children())


def _children() -> list[str]:
    pid = os.getpid()
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        found = []
        for child in file.read().split():
            with open(f"/proc/{child}/cmdline") as line:
                found.append(line.read())
        return found
