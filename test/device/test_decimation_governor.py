"""Frames are left out before tasks are, come back without flapping, and what runs always passes."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, decimated, find_decimation, is_schedulable
from aegis_ros.device import DecimationGovernor
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

S = 1_000_000_000
LOW = Criticality.LOW
PILOT = AnalysisTask("pilot", (30,), 100, 100)
MAP = AnalysisTask("map", (20,), 100, 400, 0, LOW)
TEXT = AnalysisTask("text", (20,), 100, 400, 0, LOW)
TASKS = (PILOT, MAP, TEXT)
MOST = {"map": 8, "text": 8}


def test_a_device_that_is_fast_enough_changes_nothing() -> None:
    governor = DecimationGovernor()
    assert governor.decide(TASKS, {}, MOST, 0.8, now_ns=0) is None and not governor.slow


def test_frames_go_at_once_and_come_back_after_the_hold() -> None:
    governor = DecimationGovernor(hold_ns=10 * S)
    assert governor.decide(TASKS, {}, MOST, 0.55, now_ns=0) == {"map": 2, "text": 2}
    assert governor.decide(TASKS, {}, MOST, 0.62, now_ns=1 * S) == {"map": 2, "text": 2}
    assert governor.decide(TASKS, {}, MOST, 0.66, now_ns=2 * S) == {"map": 2, "text": 2}
    assert governor.decide(TASKS, {}, MOST, 0.66, now_ns=12 * S) == {"text": 2}
    assert governor.decide(TASKS, {}, MOST, 1.0, now_ns=13 * S) == {"text": 2}
    assert governor.decide(TASKS, {}, MOST, 1.0, now_ns=23 * S) is None


def test_a_dip_begins_the_hold_anew() -> None:
    governor = DecimationGovernor(hold_ns=10 * S)
    governor.decide(TASKS, {}, MOST, 0.55, now_ns=0)
    governor.decide(TASKS, {}, MOST, 0.9, now_ns=1 * S)
    governor.decide(TASKS, {}, MOST, 0.55, now_ns=9 * S)
    governor.decide(TASKS, {}, MOST, 0.9, now_ns=10 * S)
    assert governor.decide(TASKS, {}, MOST, 0.9, now_ns=19 * S) == {"map": 2, "text": 2}
    assert governor.decide(TASKS, {}, MOST, 0.9, now_ns=20 * S) == {}


def test_what_is_decimated_at_nominal_speed_stays_so_afterwards() -> None:
    busy = (replace(PILOT, segments_ns=(65,)), MAP, TEXT)
    nominal = {"text": 2}
    governor = DecimationGovernor(hold_ns=0)
    assert governor.decide(busy, nominal, MOST, 0.94, now_ns=0) == {"map": 2, "text": 2}
    assert governor.decide(busy, nominal, MOST, 1.0, now_ns=1) is None


@given(
    task_sets(most=4),
    st.lists(st.tuples(st.floats(0.05, 1.2), st.integers(0, 4)), min_size=1, max_size=10),
    st.data(),
)
def test_what_fits_with_any_decimation_fits_with_the_chosen_one(
    tasks: list[AnalysisTask], readings: list[tuple[float, int]], data: st.DataObject
) -> None:
    tasks = [
        replace(task, criticality=data.draw(st.sampled_from([Criticality.HIGH, LOW])))
        for task in tasks
    ]
    most = {task.name: 8 for task in tasks if task.criticality is LOW}
    nominal = find_decimation(tasks, most)
    assume(nominal is not None)  # what does not fit at nominal speed is not admitted
    assert nominal is not None
    governor = DecimationGovernor(hold_ns=3)
    now = 0
    for speed, later in readings:
        now += later
        reported = governor.decide(tasks, nominal, most, speed, now_ns=now)
        factors = nominal if reported is None else reported
        exact = Fraction(min(1.0, speed))
        slower = [task.scaled(lambda part, by=exact: ceil(part / by)) for task in tasks]  # type: ignore[misc]
        if is_schedulable(decimated(slower, most)):
            assert is_schedulable(decimated(slower, factors))
