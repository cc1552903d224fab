"""Frames of jobs that wait are brought to the device while the lane is busy with another task."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Scheduler
from test.engine.inside import Inside, takes

BUSY, WAITING = 0, 1


class Held:
    """An engine whose lane a job of the first task holds until it is let go."""

    def __init__(self, engine: Inside) -> None:
        self.engine = engine
        self.begun, self.go_on = threading.Event(), threading.Event()
        engine.device.fetches = True
        engine.load(BUSY, self._hold)
        engine.load(WAITING, takes(0.0))

    def _hold(self) -> None:
        self.begun.set()
        assert self.go_on.wait(100.0)

    def hold(self) -> None:
        """Feed the job that keeps the lane busy, and wait until it runs."""
        self.engine.feed(BUSY)
        assert self.begun.wait(100.0)


@pytest.fixture
def held() -> Iterator[Held]:
    engine = Inside()
    made = Held(engine)
    with engine:
        yield made
        made.go_on.set()


def test_a_job_that_waits_finds_its_frame_there(held: Held) -> None:
    held.hold()
    held.engine.feed(WAITING)
    held.engine.until(lambda: held.engine.device.brought == [2])
    held.go_on.set()
    held.engine.settle()
    assert held.engine.device.begun == [(1, False), (2, True)]


def test_a_newer_frame_is_brought_in_place_of_the_one_that_was_dropped(held: Held) -> None:
    held.hold()
    held.engine.feed(WAITING, WAITING)
    held.engine.until(lambda: held.engine.device.brought == [2, 3])
    held.go_on.set()
    reported = held.engine.settle()
    assert [(seq, rule) for _, seq, rule, _ in reported.skipped] == [(2, Rule.NEWER_FRAME)]
    assert held.engine.device.begun == [(1, False), (3, True)]


def test_a_job_that_begins_at_once_brings_nothing(held: Held) -> None:
    held.go_on.set()
    held.engine.feed(WAITING)
    held.engine.settle()
    assert held.engine.device.brought == []
    assert held.engine.device.begun == [(1, False)]


def test_where_nothing_can_be_brought_jobs_fetch_their_frames_themselves(held: Held) -> None:
    held.engine.device.fetches = False
    held.hold()
    held.engine.feed(WAITING)
    held.go_on.set()
    held.engine.settle()
    assert held.engine.device.begun == [(1, False), (2, False)]


def test_of_a_queue_of_jobs_the_first_one_is_brought_and_no_other_takes_its_place() -> None:
    scheduler = Scheduler(1)
    engine = Inside(scheduler)
    engine.device.fetches = True
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        assert go_on.wait(100.0)

    engine.load(BUSY, hold)
    engine.load(WAITING, takes(0.0), queue=2)
    with engine:
        engine.feed(BUSY)
        assert begun.wait(100.0)
        engine.feed(WAITING, WAITING)
        engine.until(lambda: scheduler.waiting(0) == 2)
        assert engine.device.brought == [2]
        go_on.set()
        engine.settle()
    assert engine.device.brought == [2]
    assert engine.device.begun == [(1, False), (2, True), (3, False)]
