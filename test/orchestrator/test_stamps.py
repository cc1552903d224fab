"""Stamps are held against the node's clock: each source's offset is estimated and named."""

from __future__ import annotations

from pathlib import Path

import pytest

from aegis_ros.orchestrator import FrameTimes, StampVerdict
from aegis_ros.orchestrator.stamps import judge_stamps
from aegis_ros.rationale import Rule
from test.orchestrator.house import MS, House

S = 1000 * MS
WALL = 1_700_000_000 * S
MONO = 5_000 * S


def times(age_ns: int, at_ns: int = MONO, **changes: int) -> FrameTimes:
    """Times of a frame of this age that was received at a moment, and ready 2 ms later."""
    wall = WALL + at_ns - MONO
    return FrameTimes(wall - age_ns, at_ns, at_ns + 2 * MS, wall + 2 * MS, **changes)


@pytest.mark.parametrize(
    ("age_ns", "trusted"),
    [(0, True), (-1, False), (-MS, False), (-3 * S, False), (4 * S, True), (10 * S, False)],
)
def test_no_stamp_is_from_the_future_and_none_is_very_old(age_ns: int, trusted: bool) -> None:
    found = times(age_ns)
    assert (found.age_ns, found.trusted) == (age_ns, trusted)
    assert found.stamped_ns == (MONO - age_ns if trusted else 0)


def test_the_clock_of_a_simulation_is_what_stamps_are_held_against() -> None:
    received, sim = MONO, 40 * S
    frame = FrameTimes(sim - 30 * MS, received, received + MS, WALL, clock_ns=sim + MS)
    assert frame.trusted and frame.age_ns == 30 * MS
    assert frame.stamped_ns == received - 30 * MS
    early = FrameTimes(sim + 9 * MS, received, received, WALL, clock_ns=sim, step_ns=10 * MS)
    assert early.trusted and early.stamped_ns == received
    absent = FrameTimes(sim, received, received, WALL, clock_ns=0)
    assert not absent.comparable and not absent.trusted
    assert FrameTimes(0, received, received, WALL, clock_ns=sim).taken_ns == sim


def test_what_is_made_of_a_frame_later_is_as_old_as_the_frame() -> None:
    frame = times(30 * MS, clock_ns=WALL + 2 * MS)
    later = frame.later(frame.ready_ns + 50 * MS)
    assert (later.age_ns, later.wall_offset_ns) == (frame.age_ns, frame.wall_offset_ns)


@pytest.mark.parametrize(
    ("least_age_ns", "frames", "step_ns", "verdict"),
    [
        (2 * MS, 100, 0, StampVerdict.AGREE),
        (-1, 1, 0, StampVerdict.AHEAD),
        (-50 * MS, 100, 100 * MS, StampVerdict.AGREE),
        (-3 * S, 1, 100 * MS, StampVerdict.AHEAD),
        (3 * S, 2, 0, StampVerdict.AGREE),  # two frames that were held up
        (3 * S, 5, 0, StampVerdict.BEHIND),
        (99 * MS, 100, 0, StampVerdict.AGREE),
        (11 * S, 1, 0, StampVerdict.OFF),
    ],
)
def test_the_least_age_tells_what_the_stamps_of_a_topic_are_like(
    least_age_ns: int, frames: int, step_ns: int, verdict: StampVerdict
) -> None:
    assert judge_stamps(least_age_ns, frames, step_ns, 100 * MS) is verdict


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.start()
    made.orchestrator.register(made.task(jitter_ms=5))
    return made


def _send(house: House, age_ns: int, number: int) -> None:
    """Bring the n-th frame of 10 Hz, of this age by its stamp."""
    intake = house.orchestrator.intake
    (stream,) = intake.streams()
    at_ns = MONO + number * 100 * MS
    taken = intake.take(stream.key, at_ns)
    assert taken is not None
    believed = int(intake.stamps.believed(stream.key))
    intake.commit(taken, (16, 24, 3), times(age_ns, at_ns, believed=believed))


def _reported(house: House) -> list[str]:
    return [each.sentence for each in house.reported if each.rule is Rule.TIME_JUMP]


def test_a_source_that_is_ahead_now_and_then_is_believed_no_more_until_its_clock_is_right(
    house: House,
) -> None:
    intake = house.orchestrator.intake
    (stream,) = intake.streams()
    for number, age_ms in enumerate((2, 1, -3, 2, 4)):
        _send(house, age_ms * MS, number)
    assert not intake.stamps.believed(stream.key)  # its other stamps are too late by 3 ms, too
    (sentence,) = _reported(house)
    assert "are at least 3 ms ahead of this node's clock" in sentence
    (found,) = house.orchestrator.status().tasks[0].stamps
    assert (found.topic, found.verdict) == ("/detector/image", StampVerdict.AHEAD)
    assert found.least_age_ns == -3 * MS
    for number in range(5, 120):
        _send(house, 2 * MS, number)
    assert intake.stamps.believed(stream.key)
    assert house.orchestrator.status().tasks[0].stamps[0].verdict is StampVerdict.AGREE


def test_stamps_that_are_older_than_the_deadline_are_named_once(house: House) -> None:
    for number in range(30):
        _send(house, 4 * S + number * MS, number)
    (sentence,) = _reported(house)
    assert sentence.startswith("Frames on /detector/image are at least 4.0 s old by their stamps")
    assert "more than the deadline of detector (100 ms): every result is late" in sentence


def test_a_task_that_goes_leaves_nothing_of_its_topic(house: House) -> None:
    _send(house, -S, 0)
    house.orchestrator.unregister("detector")
    stamps = house.orchestrator.intake.stamps
    assert not stamps._sources and not stamps._verdicts
