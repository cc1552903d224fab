"""CPU lanes: who may have a real-time priority, and how one ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from aegis_ros.backends.base import Completion, Work
from aegis_ros.backends.worker import CpuLane, lane_priorities
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


_ON_ISOLATED_CORE = """
import os, sys
first, second = (int(core) for core in sys.argv[1:])
os.sched_setaffinity(0, {first})
from aegis_ros.backends.worker import open_lanes
from aegis_ros.spec import LaneSpec
(lane,) = open_lanes([LaneSpec("main", second)], lambda *work: None, lambda *ended: None, 1)
print(*lane.permitted, *lane.refused, sep=",")
lane.stop()
"""


def test_a_lane_on_a_core_that_was_isolated_for_it_leaves_the_others_free() -> None:
    """A process does not have such a core in its affinity, as here one that it was kept from."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        pytest.skip("there is but one core")
    ran = subprocess.run(
        [sys.executable, "-c", _ON_ISOLATED_CORE, str(first), str(others[0])],
        capture_output=True,
        text=True,
        check=True,
    )
    core, priority = ran.stdout.strip().split(",", 1)
    assert core == f"core {others[0]}"
    assert "one core must stay free" not in priority


def test_a_lane_ends_that_was_handed_a_work_and_has_not_woken_up_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[int] = []
    reported, let_go = threading.Event(), threading.Event()

    def run(work: Work, completion: Completion) -> None:
        ran.append(work.token)

    def ended(token: int, completion: Completion) -> None:
        reported.set()  # from here on the lane is idle, and others may hand it a work
        let_go.wait()

    lane = CpuLane(LaneSpec("lane"), run, ended, 0)
    thread = lane._thread
    join = thread.join
    monkeypatch.setattr(thread, "join", lambda timeout: let_go.set())
    lane.start(Work([], token=1))
    assert reported.wait(60.0)
    lane.start(Work([], token=2))
    lane.stop()
    join(60.0)
    assert not thread.is_alive()
    assert ran == [1]


def test_a_lane_hands_on_what_its_run_says_of_each_work_and_of_no_other() -> None:
    reported: list[tuple[int, str, object, object]] = []
    changed = threading.Event()

    def run(work: Work, completion: Completion) -> None:
        if work.token == 1:
            completion.outcome, completion.shapes = "go on", ((3,),)
        if work.token == 2:
            raise ValueError("broken")

    def ended(token: int, completion: Completion) -> None:
        reported.append((token, completion.error, completion.outcome, completion.shapes))
        if token < 3:
            lane.start(Work([], token=token + 1))
        else:
            changed.set()

    lane = CpuLane(LaneSpec("lane"), run, ended, 0)
    lane.start(Work([], token=1))
    assert changed.wait(60.0)
    lane.stop()
    assert reported == [
        (1, "", "go on", ((3,),)),
        (2, "ValueError: broken", None, None),
        (3, "", None, None),
    ]
