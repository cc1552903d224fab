"""Shed at once, back with hysteresis, and what runs always passes the test."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.device import Change, SpeedGovernor
from aegis_ros.errors import ConfigError
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

S = 1_000_000_000
PILOT = AnalysisTask("pilot", (30,), 100, 100)
MAP = AnalysisTask("map", (10, 10), 100, 100, 0, Criticality.LOW)
VLM = AnalysisTask("vlm", (21, 1), 100, 100, 0, Criticality.BEST_EFFORT)
TASKS = (PILOT, MAP, VLM)


def at_speed(tasks: list[AnalysisTask], factor: float) -> list[AnalysisTask]:
    speed = Fraction(factor)
    return [
        replace(task, segments_ns=tuple(ceil(part / speed) for part in task.segments_ns))
        for task in tasks
    ]


def test_at_nominal_speed_nothing_happens() -> None:
    governor = SpeedGovernor()
    assert governor.decide(TASKS, 1.0, 0) == Change()
    assert governor.decide(TASKS, 1.7, S) == Change()


def test_what_matters_least_is_shed_first_and_at_once() -> None:
    governor = SpeedGovernor()
    assert governor.decide(TASKS, 0.6, 0) == Change(shed=("vlm",))
    assert governor.decide(TASKS, 0.4, 1) == Change(shed=("map",))
    assert governor.shed == ("vlm", "map")


def test_what_fits_again_comes_back_in_reverse_order_after_the_hold() -> None:
    governor = SpeedGovernor(hold_ns=10 * S)
    governor.decide(TASKS, 0.4, 0)
    assert governor.decide(TASKS, 0.62, 1 * S) == Change()
    assert governor.decide(TASKS, 0.62, 10 * S) == Change()
    assert governor.decide(TASKS, 0.62, 11 * S) == Change(restored=("map",))
    assert governor.decide(TASKS, 1.0, 12 * S) == Change()
    assert governor.decide(TASKS, 1.0, 22 * S) == Change(restored=("vlm",))
    assert governor.shed == ()


def test_a_dip_begins_the_hold_anew() -> None:
    governor = SpeedGovernor(hold_ns=10 * S)
    governor.decide(TASKS, 0.6, 0)
    governor.decide(TASKS, 0.9, 1 * S)
    governor.decide(TASKS, 0.6, 9 * S)
    assert governor.decide(TASKS, 0.9, 10 * S) == Change()
    assert governor.decide(TASKS, 0.9, 19 * S) == Change()
    assert governor.decide(TASKS, 0.9, 20 * S) == Change(restored=("vlm",))


def test_a_speed_that_swings_about_a_limit_changes_nothing_after_the_first_time() -> None:
    governor = SpeedGovernor(hold_ns=10 * S)
    changes = [
        governor.decide(TASKS, 0.69 if second % 8 < 4 else 0.72, second * S)
        for second in range(600)
    ]
    assert [change for change in changes if change != Change()] == [Change(shed=("vlm",))]


def test_little_more_speed_than_needed_is_not_enough_to_come_back() -> None:
    governor = SpeedGovernor(margin=0.05, hold_ns=0)
    governor.decide(TASKS, 0.69, 0)
    assert governor.decide(TASKS, 0.71, 1) == Change()
    assert governor.decide(TASKS, 0.8, 2) == Change(restored=("vlm",))


def test_at_nominal_speed_a_full_lane_comes_back_without_a_margin() -> None:
    full = (PILOT, replace(MAP, segments_ns=(35, 35)))
    governor = SpeedGovernor(hold_ns=0)
    assert governor.decide(full, 0.98, 0) == Change(shed=("map",))
    assert governor.decide(full, 1.0, 1) == Change(restored=("map",))


def test_a_task_that_is_gone_is_forgotten() -> None:
    governor = SpeedGovernor()
    governor.decide(TASKS, 0.6, 0)
    governor.decide((PILOT, MAP), 0.6, 1)
    assert governor.shed == ()


@pytest.mark.parametrize("factor", [0.0, -1.0])
def test_a_device_that_stands_still_is_an_error(factor: float) -> None:
    with pytest.raises(ConfigError, match="factor"):
        SpeedGovernor().decide(TASKS, factor, 0)


@pytest.mark.parametrize(("margin", "hold_ns"), [(1.0, 0), (-0.1, 0), (0.1, -1)])
def test_hysteresis_out_of_range_is_refused(margin: float, hold_ns: int) -> None:
    with pytest.raises(ConfigError, match="hysteresis"):
        SpeedGovernor(margin, hold_ns)


@given(
    task_sets(),
    st.lists(st.tuples(st.floats(0.05, 1.2), st.integers(0, 4)), min_size=1, max_size=12),
    st.data(),
)
def test_what_runs_always_passes_the_test_at_the_present_speed(
    tasks: list[AnalysisTask], readings: list[tuple[float, int]], data: st.DataObject
) -> None:
    tasks = [
        replace(task, criticality=data.draw(st.sampled_from(list(Criticality)))) for task in tasks
    ]
    governor = SpeedGovernor(hold_ns=3)
    now = 0
    for factor, later in readings:
        now += later
        change = governor.decide(tasks, factor, now)
        assert not (change.shed and change.restored)
        running = [task for task in tasks if task.name not in governor.shed]
        assert check_lane(at_speed(running, min(1.0, factor))).schedulable


@given(task_sets(), st.floats(0.05, 0.99))
def test_at_nominal_speed_everything_that_was_admitted_is_back_in_the_end(
    tasks: list[AnalysisTask], factor: float
) -> None:
    if not check_lane(tasks).schedulable:
        return
    governor = SpeedGovernor(hold_ns=3)
    governor.decide(tasks, factor, 0)
    for second in range(1, 5):
        governor.decide(tasks, 1.0, second)
    assert governor.shed == ()
