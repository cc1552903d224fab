"""All or nothing, restarts, removal, and frames that never wait for an admission."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.engine import EngineEvent
from aegis_ros.errors import ConfigError, StateError
from aegis_ros.orchestrator import FrameTimes, ResultCode, TaskState
from aegis_ros.orchestrator.intake import Taken
from aegis_ros.rationale import Decision, Rule
from aegis_ros.rationale.engine import EngineBack, EngineEnded, EngineLost
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import MS, House


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    return made


def as_it_was(house: House) -> tuple[Any, ...]:
    orchestrator = house.orchestrator
    return (
        house.names(),
        sorted(house.engine.loaded),
        sorted(house.engine.channels),
        orchestrator.intake.streams(),
        sorted(orchestrator._journal._rows),
        orchestrator.status().arena_used_bytes,
    )


@pytest.mark.parametrize("fault", ["refuses_load", "refuses_channel"])
def test_an_engine_that_fails_leaves_everything_as_it_was(house: House, fault: str) -> None:
    house.orchestrator.register(house.task("old"))
    before = as_it_was(house)
    setattr(house.engine, fault, True)
    answer = house.orchestrator.register(house.task("new"))
    assert answer.result is ResultCode.ENGINE_FAILED
    assert as_it_was(house) == before
    setattr(house.engine, fault, False)
    assert house.orchestrator.register(house.task("new")).accepted


def test_comes_back_with_what_a_service_admitted(house: House) -> None:
    house.orchestrator.register(house.task("a"))
    house.orchestrator.register(house.task("b"))
    house.orchestrator.unregister("a")
    house.restart()
    assert house.names() == ["b"]


def test_the_file_has_the_last_word_on_a_name_and_says_so(house: House) -> None:
    house.orchestrator.register(house.task("a", wcet_ms=10))
    house.reported.clear()
    house.restart(house.task("a", wcet_ms=20))
    (task,) = house.orchestrator.status().tasks
    assert task.wcet_ns == 20 * MS
    assert any("takes precedence" in item.sentence for item in house.reported)


def test_a_task_of_the_file_that_was_removed_is_back_after_a_restart(tmp_path: Path) -> None:
    house = House(tmp_path)
    spec = house.task("a")
    house.restart(spec)
    answer = house.orchestrator.unregister("a")
    assert answer.accepted and answer.result is ResultCode.DONE
    assert "until the orchestrator is configured again" in answer.rationale.sentence
    house.restart(spec)
    assert house.names() == ["a"]


def test_one_rejected_task_of_the_file_does_not_keep_the_others_out(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.restart(house.task("a", model="absent.onnx"), house.task("b"))
    assert house.names() == ["b"]


def test_removing_what_is_not_there_names_what_is(house: House) -> None:
    house.orchestrator.register(house.task("a"))
    answer = house.orchestrator.unregister("b")
    assert not answer.accepted
    assert "admitted: a" in answer.rationale.sentence


def test_capacity_is_given_away_only_when_the_last_job_can_delay_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task("old", wcet_ms=20))
    (stream,) = orchestrator.intake.streams()
    for index in range(3):
        slow = house.task(f"slow{index}", wcet_ms=40, period_ms=1000)
        assert orchestrator.register(slow).accepted
    now = time.monotonic_ns()
    taken = orchestrator.intake.take(stream.key, now)
    assert taken is not None
    orchestrator.intake.commit(taken, (16, 24, 3), FrameTimes(0, now, now, now))
    clock = now
    monkeypatch.setattr("time.monotonic_ns", lambda: clock)
    orchestrator.unregister("old")
    assert not orchestrator.register(house.task("new", wcet_ms=50)).accepted
    clock = now + 130 * MS  # past its deadline, but the lane can have been busy since it came
    assert not orchestrator.register(house.task("new", wcet_ms=50)).accepted
    clock = now + 300 * MS
    assert orchestrator.register(house.task("new", wcet_ms=50)).accepted


def test_a_task_that_never_had_a_frame_leaves_at_once(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task("old", wcet_ms=60))
    orchestrator.unregister("old")
    assert orchestrator.register(house.task("new", wcet_ms=60)).accepted


def test_frames_flow_while_a_registration_measures(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task("low", criticality="low"))
    (stream,) = orchestrator.intake.streams()
    seen: list[Taken | None] = []
    # Called in the middle of the admission, as another thread would.
    house.engine.while_measuring = lambda: (
        seen.append(orchestrator.intake.take(stream.key, time.monotonic_ns())),
        orchestrator.status(),
    )
    assert orchestrator.register(house.task("new", wcet_ms=0)).accepted
    assert seen[0] is not None and seen[0].task_ids == (1,)


def test_a_frame_too_soon_is_skipped_and_reported_once(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task())
    (stream,) = orchestrator.intake.streams()
    now = time.monotonic_ns()
    assert orchestrator.intake.take(stream.key, now)
    for _ in range(20):
        assert orchestrator.intake.take(stream.key, now + MS) is None
    reported = [item for item in house.reported if item.rule is Rule.RATE_GATE]
    assert len(reported) == 1
    (task,) = orchestrator.status().tasks
    assert (task.received, task.skipped) == (21, 20)


@pytest.mark.parametrize("stamp", [-(2**62), -1, 0, 2**62])
def test_absurd_stamps_stop_nothing(house: House, stamp: int) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task())
    (stream,) = orchestrator.intake.streams()
    now = time.monotonic_ns()
    for index, value in enumerate((10**18, stamp, 10**18)):
        received = now + index * 100 * MS
        taken = orchestrator.intake.take(stream.key, received)
        assert taken is not None
        orchestrator.intake.commit(
            taken, (16, 24, 3), FrameTimes(value, received, received, 10**18)
        )
    assert [jobs[0][1] for jobs in house.engine.submitted] == [0, 1, 2]


def test_stamps_that_go_back_are_reported(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task())
    (stream,) = orchestrator.intake.streams()
    now = time.monotonic_ns()
    for index, value in enumerate((50 * 10**9, 10 * 10**9)):
        received = now + index * 100 * MS
        taken = orchestrator.intake.take(stream.key, received)
        assert taken is not None
        orchestrator.intake.commit(taken, (16, 24, 3), FrameTimes(value, received, received, value))
    (reported,) = [item for item in house.reported if item.rule is Rule.TIME_JUMP]
    assert "went back by 40.0 s" in reported.sentence


@pytest.mark.parametrize(
    ("stamp", "says"), [(-1, "days behind"), (1, "days behind"), (2**62, "days ahead of")]
)
def test_a_stamp_from_another_clock_is_reported_once(house: House, stamp: int, says: str) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task())
    (stream,) = orchestrator.intake.streams()
    now = time.monotonic_ns()
    for index in range(3):
        received = now + index * 100 * MS
        taken = orchestrator.intake.take(stream.key, received)
        assert taken is not None
        orchestrator.intake.commit(
            taken, (16, 24, 3), FrameTimes(stamp, received, received, 10**18)
        )
    (reported,) = [item for item in house.reported if item.rule is Rule.TIME_JUMP]
    assert says in reported.sentence and "from reception instead" in reported.sentence


def test_a_disabled_task_is_not_fed_and_keeps_its_capacity(house: House) -> None:
    orchestrator = house.orchestrator
    orchestrator.register(house.task("a", wcet_ms=60))
    (stream,) = orchestrator.intake.streams()
    assert orchestrator.set_enabled("a", False).result is ResultCode.DONE
    assert orchestrator.intake.take(stream.key, time.monotonic_ns()) is None
    assert orchestrator.status().tasks[0].state is TaskState.DISABLED
    assert not orchestrator.register(house.task("b", wcet_ms=60)).accepted
    orchestrator.set_enabled("a", True)
    assert orchestrator.intake.take(stream.key, time.monotonic_ns()) is not None


def test_tasks_on_one_topic_share_one_stream(house: House) -> None:
    shared = {"topic": "/camera", "max_size": [16, 24]}
    for name in ("a", "b"):
        house.orchestrator.register(house.task(name, input=shared))
    assert len(house.orchestrator.intake.streams()) == 1
    assert len(house.streams[-1]) == 1


def test_jobs_lost_with_the_engine_are_accounted_for(house: House) -> None:
    house.orchestrator.register(house.task())
    house.engine.on_event(EngineEvent(EngineLost(EngineEnded(-9), 2), lost=((1, 0), (1, 1))))
    (task,) = house.orchestrator.status().tasks
    assert task.lost == 2
    (reported,) = [item for item in house.reported if item.decision is Decision.LOST]
    assert reported.count == 2
    assert reported.related > 0


def test_a_task_that_cannot_be_loaded_again_has_failed_and_says_why(house: House) -> None:
    house.orchestrator.register(house.task())
    house.engine.on_event(EngineEvent(EngineBack(5, 0), recovered=True, failed=((1, "no memory"),)))
    (task,) = house.orchestrator.status().tasks
    assert task.state is TaskState.FAILED
    assert any("no memory" in item.sentence for item in house.reported)


def test_figures_of_results_are_kept(house: House) -> None:
    house.orchestrator.register(house.task())
    for response in (10, 20, 30):
        house.orchestrator.published(1, response * MS, 5 * MS, met=response < 30)
    (task,) = house.orchestrator.status().tasks
    assert (task.completed, task.missed) == (3, 1)
    assert task.response_p50_ns == 20 * MS
    assert task.response_max_ns == 30 * MS


def test_what_is_not_configured_answers_and_does_not_crash(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.orchestrator.register(house.task()).rationale.rule is Rule.STATE
    assert house.orchestrator.evaluate(house.task()).rationale.rule is Rule.STATE
    assert not house.orchestrator.unregister("a").accepted
    with pytest.raises(StateError):
        house.orchestrator.activate()


def test_thousands_of_requests_leave_bounded_memory_behind(house: House) -> None:
    orchestrator = house.orchestrator
    fits, too_long = house.task("a"), house.task("b", wcet_ms=99)
    invalid = house.task("c", lane="none")
    ids = set()
    for _ in range(20):  # of a hundred requests each
        answer = orchestrator.register(fits)
        ids.add(answer.task_id)
        for _ in range(48):
            assert not orchestrator.register(invalid).accepted
            assert not orchestrator.register(fits).accepted
        assert not orchestrator.register(too_long).accepted
        assert orchestrator.unregister("a").accepted
        assert not orchestrator.unregister("a").accepted
    orchestrator.settle()
    assert len(ids) == 20
    assert len(orchestrator.log.latest()) == 1000
    assert house.engine.loaded == {}
    assert house.engine.channels == {}
    assert orchestrator._admitted._by_id == {}
    assert orchestrator._admitted._leaving == ()


def test_a_task_that_joins_a_full_stream_gets_slots_of_its_own(house: House) -> None:
    shared = {"topic": "/camera", "max_size": [16, 24]}
    for name in ("a", "b", "c"):  # the third does not find room beside the others
        assert house.orchestrator.register(
            house.task(name, input=shared, queue=2, wcet_ms=5)
        ).accepted
    streams = house.orchestrator.intake.streams()
    assert len(streams) == 2 and {each.topic for each in streams} == {"/camera"}
    for stream in streams:
        assert house.orchestrator.intake.take(stream.key, time.monotonic_ns()) is not None
    house.orchestrator.unregister("a")
    assert house.orchestrator.register(house.task("d", input=shared, queue=2, wcet_ms=5)).accepted
    assert len(house.orchestrator.intake.streams()) == 2


def test_topics_that_cannot_be_used_are_a_rejection(tmp_path: Path) -> None:
    beside: list[list[str]] = []

    def refuse(spec: TaskSpec, others: Sequence[TaskSpec]) -> None:
        beside.append([other.name for other in others])
        if spec.name == "a":
            raise ConfigError("the topic is taken", where="output.topic", value=spec.output.topic)

    house = House(tmp_path)
    house.orchestrator._judge._check_topics = refuse
    house.start()
    assert house.orchestrator.register(house.task("b")).accepted
    assert not house.orchestrator.evaluate(house.task("a"), without=["b"]).accepted
    answer = house.orchestrator.register(house.task("a"))
    assert beside == [[], [], ["b"]]
    assert not answer.accepted
    assert answer.result is ResultCode.INVALID_SPEC
    assert "the topic is taken" in answer.rationale.sentence


def test_nothing_is_kept_of_the_events_of_a_task_that_goes(house: House) -> None:
    house.orchestrator.register(house.task("a"))
    (stream,) = house.orchestrator.intake.streams()
    now = time.monotonic_ns()
    for _ in range(3):
        house.orchestrator.intake.take(stream.key, now)
    house.orchestrator.unregister("a")
    reported = [item for item in house.reported if item.rule is Rule.RATE_GATE]
    assert [item.count for item in reported] == [1, 1]
    assert not house.orchestrator.log._reported_ns and not house.orchestrator.log._folded
