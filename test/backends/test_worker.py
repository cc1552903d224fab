"""CPU lanes: who may have a real-time priority."""

from __future__ import annotations

from aegis_ros.backends.worker import lane_priorities
from aegis_ros.spec import LaneSpec


def lanes(*cpus: int | None) -> list[LaneSpec]:
    return [LaneSpec(f"lane{index}", cpu) for index, cpu in enumerate(cpus)]


def test_a_lane_gets_its_priority_while_another_core_stays_free():
    assert lane_priorities(lanes(1), 39, frozenset({0, 1})) == (39,)


def test_the_lane_that_would_take_the_last_core_stays_normal():
    assert lane_priorities(lanes(0, 1), 39, frozenset({0, 1})) == (39, 0)


def test_on_a_single_core_no_lane_is_real_time():
    assert lane_priorities(lanes(0), 39, frozenset({0})) == (0,)


def test_lanes_on_one_core_share_it():
    assert lane_priorities(lanes(1, 1), 39, frozenset({0, 1})) == (39, 39)


def test_a_lane_without_a_core_counts_as_one():
    assert lane_priorities(lanes(None, None, None), 39, frozenset({0, 1, 2})) == (39, 39, 0)


def test_a_core_that_this_process_may_not_use_counts_as_one_of_its_own():
    assert lane_priorities(lanes(9), 39, frozenset({0})) == (0,)
