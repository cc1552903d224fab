"""Tasks of low criticality give frames up, fairly and with a report, before anybody is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aegis_ros.device import DeviceState
from aegis_ros.orchestrator import FrameTimes, ResultCode
from aegis_ros.rationale import Decision, Rule
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import MS, House

S = 1_000_000_000


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    return made


def extra(house: House, name: str, wcet_ms: float = 30, **changes: object) -> TaskSpec:
    """A task of low criticality that is not in a hurry."""
    values = {"criticality": "low", "deadline_ms": 400, "wcet_ms": wcet_ms}
    return house.task(name, **{**values, **changes})


def decimation_of(house: House) -> dict[str, int]:
    return {entry.spec.name: entry.decimation for entry in house.orchestrator._admitted}


def feed(house: House, name: str, frames: int, *, after_ns: int = 60 * S) -> list[bool]:
    """Give a task frames at its declared rate, after everything has settled; tell which it took."""
    intake = house.orchestrator.intake
    (stream,) = [item for item in intake.streams() if name in intake.fed_by(item.key)]
    taken = []
    for index in range(frames):
        now = time.monotonic_ns() + after_ns + index * 100 * MS
        frame = intake.take(stream.key, now)
        taken.append(frame is not None)
        if frame is not None:
            intake.commit(frame, (16, 24, 3), FrameTimes(0, now, now, 0))
    return taken


def test_what_would_be_too_much_takes_fewer_frames_and_says_so(house: House) -> None:
    register = house.orchestrator.register
    assert register(house.task("pilot", wcet_ms=50)).accepted
    assert register(extra(house, "text_areas")).accepted
    answer = register(extra(house, "map"))
    assert answer.accepted
    assert sorted(decimation_of(house).values()) == [1, 1, 2]
    assert "takes every 2nd frame (5.0 instead of 10.0 a second)" in answer.rationale.sentence


def test_a_newcomer_that_has_to_be_decimated_is_cut_for_those_it_would_block(house: House) -> None:
    pilot = house.task("pilot", wcet_ms=40, deadline_ms=60)
    assert house.orchestrator.register(pilot).accepted
    answer = house.orchestrator.register(extra(house, "map", 70))
    assert answer.accepted, answer.rationale.sentence
    assert decimation_of(house) == {"pilot": 1, "map": 2}
    assert "it runs in 4 segments" in answer.rationale.sentence
    assert answer.rationale.sentence.endswith(
        "because pilot tolerates 18.00 ms of blocking and the whole network takes 70.00 ms. So "
        "that everything fits, it takes every 2nd frame (5.0 instead of 10.0 a second)."
    )


def test_a_task_that_runs_makes_room_for_one_that_matters_more(house: House) -> None:
    house.orchestrator.register(extra(house, "text_areas", 60))
    answer = house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200))
    assert answer.accepted and decimation_of(house) == {"text_areas": 2, "pilot": 1}
    reported = house.reported[-1]
    assert (reported.task, reported.decision, reported.rule) == (
        "text_areas",
        Decision.INFORMED,
        Rule.DECIMATION,
    )
    assert reported.related == answer.rationale.id
    assert reported.sentence == (
        "text_areas now takes every 2nd frame (5.0 instead of 10.0 a second) so that pilot fits."
    )


def test_equal_tasks_lose_alike_and_what_is_critical_loses_nothing(house: House) -> None:
    house.orchestrator.register(house.task("pilot", wcet_ms=50))
    for name in ("a", "b", "c", "d"):
        assert house.orchestrator.register(extra(house, name, 20)).accepted
    found = decimation_of(house)
    assert found.pop("pilot") == 1
    assert max(found.values()) - min(found.values()) <= 1 and max(found.values()) > 1
    assert feed(house, "pilot", 8) == [True] * 8


def test_every_nth_frame_becomes_a_job_and_the_others_are_counted_apart(house: House) -> None:
    house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200))
    house.orchestrator.register(extra(house, "a", 60))
    assert feed(house, "a", 6) == [True, False, True, False, True, False]
    (a,) = [item for item in house.orchestrator.status().tasks if item.spec.name == "a"]
    assert (a.received, a.decimated, a.skipped, a.lost, a.decimation) == (6, 3, 0, 0, 2)


def test_tasks_that_share_a_stream_keep_their_own_decimation(house: House) -> None:
    camera = {"topic": "/camera/image", "max_size": [16, 24]}
    house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200, input=camera))
    house.orchestrator.register(extra(house, "a", 60, input=camera))
    assert feed(house, "a", 6) == [True] * 6
    jobs = [len(each) for each in house.engine.submitted]
    assert jobs == [2, 1, 2, 1, 2, 1]


def test_a_task_that_wants_every_frame_is_refused_instead(house: House) -> None:
    house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200))
    answer = house.orchestrator.register(extra(house, "a", 60, max_decimation=1))
    assert answer.result is ResultCode.NOT_SCHEDULABLE
    assert house.names() == ["pilot"]


def test_what_no_decimation_makes_fit_is_refused_and_nobody_loses_a_frame(house: House) -> None:
    house.orchestrator.register(extra(house, "a", 60))
    answer = house.orchestrator.register(house.task("pilot", wcet_ms=97))
    assert answer.result is ResultCode.NOT_SCHEDULABLE
    assert decimation_of(house) == {"a": 1}


def test_a_question_changes_no_decimation_and_is_answered_the_same(house: House) -> None:
    house.orchestrator.register(extra(house, "a", 60))
    pilot = house.task("pilot", wcet_ms=60, deadline_ms=200)
    asked = house.orchestrator.evaluate(pilot)
    assert asked.accepted and "a takes every 2nd frame" in asked.rationale.sentence
    assert decimation_of(house) == {"a": 1}
    assert house.orchestrator.register(pilot).rationale.sentence == asked.rationale.sentence


def test_frames_come_back_when_a_task_has_left(house: House) -> None:
    house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200))
    house.orchestrator.register(extra(house, "a", 60))
    house.orchestrator.unregister("pilot")
    house.orchestrator.settle()
    assert decimation_of(house) == {"a": 1}
    assert house.reported[-1].sentence == (
        "a now takes every frame (10.0 instead of 5.0 a second) because pilot was removed."
    )
    assert feed(house, "a", 4) == [True] * 4


def test_more_frames_come_only_once_nothing_of_the_old_rates_is_pending(house: House) -> None:
    house.orchestrator.register(extra(house, "a", 60))
    house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200))
    assert feed(house, "pilot", 1, after_ns=0) == [False]  # a job of a may still be pending
    assert feed(house, "pilot", 1) == [True]
    house.orchestrator.unregister("pilot")
    house.orchestrator.device_changed(DeviceState())
    assert decimation_of(house) == {"a": 2}, "the last job of pilot can still delay others"


def test_frames_come_back_by_themselves_when_what_left_is_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.orchestrator.register(extra(house, "a", 60))
    house.orchestrator.register(house.task("pilot", wcet_ms=60, deadline_ms=200))
    assert feed(house, "pilot", 1) == [True]
    house.orchestrator.unregister("pilot")
    later = time.monotonic_ns() + 120 * S
    monkeypatch.setattr(time, "monotonic_ns", lambda: later)
    house.orchestrator.device_changed(DeviceState())
    assert decimation_of(house) == {"a": 1}


def test_only_the_lane_of_the_newcomer_loses_frames(tmp_path: Path) -> None:
    house = House(tmp_path, lanes=2)
    house.start()
    house.orchestrator.register(extra(house, "a", 60, lane="lane0"))
    house.orchestrator.register(extra(house, "b", 90, lane="lane1"))
    pilot = house.task("pilot", wcet_ms=60, deadline_ms=200)
    assert house.orchestrator.register(pilot).accepted
    assert decimation_of(house) == {"a": 2, "b": 1, "pilot": 1}


def test_after_a_restart_the_same_tasks_fit_again(house: House) -> None:
    for spec in (extra(house, "a", 60), house.task("pilot", wcet_ms=60, deadline_ms=200)):
        house.orchestrator.register(spec)
    house.restart()
    assert decimation_of(house) == {"a": 2, "pilot": 1}


def test_best_effort_costs_nobody_a_frame(house: House) -> None:
    house.orchestrator.register(extra(house, "a", 60))
    house.orchestrator.register(house.task("vlm", wcet_ms=60, criticality="best_effort"))
    assert decimation_of(house)["a"] == 1


def test_at_130_percent_the_critical_keep_everything_and_the_others_share(house: House) -> None:
    for index in range(2):
        pilot = house.task(f"pilot{index}", wcet_ms=20)
        assert house.orchestrator.register(pilot).accepted
    for index in range(6):  # 90 % more
        assert house.orchestrator.register(extra(house, f"extra{index}", 15)).accepted
    found = decimation_of(house)
    assert {name: n for name, n in found.items() if n == 1 and "pilot" in name} == {
        "pilot0": 1,
        "pilot1": 1,
    }
    shares = [n for name, n in found.items() if "extra" in name]
    assert set(shares) <= {1, 2} and 2 in shares
    (lane,) = house.orchestrator.status().lanes
    assert lane.utilization_admitted <= 1.0
    assert feed(house, "pilot0", 10) == [True] * 10
    for name in (name for name in found if "extra" in name):
        assert sum(feed(house, name, 10)) == 10 // found[name]


def test_tasks_that_come_with_the_configuration_share_as_well(tmp_path: Path) -> None:
    house = House(tmp_path)
    low = [extra(house, name, 60) for name in ("a", "b")]
    house.restart(house.task("pilot", wcet_ms=30), *low)
    assert sorted(decimation_of(house).values()) == [1, 2, 2]
