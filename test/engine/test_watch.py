"""What counts as trouble, seen from the heartbeat page alone."""

from __future__ import annotations

import pytest

from aegis_ros.engine import LoadSpec
from aegis_ros.engine.client.watch import Trouble, trouble
from aegis_ros.engine.page import EnginePage
from aegis_ros.rationale.engine import EngineEnded, LaneStuck, LoopStuck
from test.engine.bench import MS, plan, simulated

S = 1_000_000_000


@pytest.fixture
def page():
    made = EnginePage(2)
    made.beat(100 * S)
    yield made
    made.close()


LOADED = {1: LoadSpec(1, "slow", simulated(), 0, "camera", plan=plan((400 * MS, 100 * MS)))}


def test_an_engine_that_beats_and_idles_is_well(page):
    assert trouble(None, page, LOADED, 100 * S + 900 * MS) is None


def test_an_end_is_reported_with_the_task_that_ran(page):
    page.lane_busy(1, 1, 100 * S)
    page.beat(101 * S)
    found = trouble(-11, page, LOADED, 102 * S)
    assert found == Trouble(EngineEnded(-11), (1,), 101 * S)


def test_an_exit_code_is_reported(page):
    found = trouble(70, page, LOADED, 100 * S)
    assert found == Trouble(EngineEnded(70), (), 100 * S)


def test_a_loop_that_does_not_beat_hangs_and_nobody_is_blamed(page):
    page.lane_busy(0, 1, 100 * S)
    found = trouble(None, page, LOADED, 101 * S + 1)
    assert found == Trouble(LoopStuck(S + 1), (), 100 * S)


def test_a_segment_may_take_twenty_times_the_budget_of_the_longest(page):
    page.lane_busy(1, 1, 100 * S)
    page.beat(108 * S)
    assert trouble(None, page, LOADED, 108 * S) is None
    found = trouble(None, page, LOADED, 108 * S + 1)
    assert found == Trouble(LaneStuck("slow", 8 * S + 1, 400 * MS), (1,), 100 * S, lane=1)


def test_a_short_segment_may_take_two_seconds(page):
    short = {1: LoadSpec(1, "short", simulated(), 0, "camera", plan=plan((MS,)))}
    page.lane_busy(0, 1, 100 * S)
    page.beat(102 * S)
    assert trouble(None, page, short, 102 * S) is None
    assert trouble(None, page, short, 102 * S + 1) is not None


def test_a_measured_network_has_a_minute(page):
    page.lane_busy(0, -2, 100 * S)
    page.beat(160 * S)
    assert trouble(None, page, LOADED, 160 * S) is None
    assert trouble(None, page, LOADED, 160 * S + 1) is not None
