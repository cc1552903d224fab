"""Frames that are wanted and not ready yet: each ends once, whatever happens meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from aegis_ros.errors import InputError
from aegis_ros.orchestrator import FrameTimes, Taken, Wanted
from aegis_ros.orchestrator import intake as intake_module
from aegis_ros.orchestrator.intake import Intake
from aegis_ros.rationale.frames import FrameOutpaced, FrameWithdrawn, NoFrameSlot
from test.contended import Contended
from test.orchestrator.house import MS, House

SHAPE = (16, 24, 3)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    house.start()
    yield house
    house.orchestrator.cleanup()


def _key(house: House, topic: str = "") -> str:
    return next(
        each.key for each in house.orchestrator.intake.streams() if topic in ("", each.topic)
    )


def _want(house: House, received_ns: int, topic: str = "") -> Wanted:
    wanted = house.orchestrator.intake.want(_key(house, topic), received_ns)
    assert wanted is not None
    return wanted


def _commit(house: House, wanted: Wanted, ready_ns: int, unpacking_ns: int = 0) -> Taken:
    intake = house.orchestrator.intake
    taken = intake.place(wanted)
    assert taken is not None
    times = FrameTimes(0, wanted.received_ns, ready_ns, ready_ns)
    intake.commit(taken, SHAPE, times, unpacking_ns=unpacking_ns)
    return taken


def _counts(house: House) -> tuple[int, int, int]:
    (task,) = house.orchestrator.status().tasks
    return task.received, task.skipped, task.in_flight


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda intake, wanted: intake.outpaced(wanted, wanted), FrameOutpaced),
        (Intake.withdraw, FrameWithdrawn),
        (Intake.without_slot, NoFrameSlot),
    ],
)
def test_a_frame_that_is_never_ready_is_told_of(
    house: House, end: Callable[[Intake, Wanted], None], kind: type
) -> None:
    house.orchestrator.register(house.task())
    wanted = _want(house, time.monotonic_ns())
    assert _counts(house) == (1, 0, 1)
    end(house.orchestrator.intake, wanted)
    assert _counts(house) == (1, 1, 0)
    assert isinstance(house.reported[-1].reason, kind)


def test_frames_wait_without_a_slot(house: House) -> None:
    house.orchestrator.register(house.task())
    intake, now = house.orchestrator.intake, time.monotonic_ns()
    waiting = [_want(house, now + number * 100 * MS) for number in range(50)]
    for before, newer in pairwise(waiting):
        assert intake.outpaced(before, newer) == newer
    assert _counts(house) == (50, 49, 1)


def test_no_job_is_taken_to_have_arrived_later_than_its_frame(house: House) -> None:
    """A frame may be accepted while the one before it is still being made ready."""
    house.orchestrator.register(house.task(jitter_ms=5))
    now = time.monotonic_ns()
    first, second = _want(house, now), _want(house, now + 100 * MS)
    _commit(house, first, now + 150 * MS)
    _commit(house, second, now + 200 * MS)
    arrivals = [jobs[0][2] for jobs in house.engine.submitted]
    assert arrivals == [now, now + 100 * MS]


def test_a_task_that_was_removed_meanwhile_is_told_of_and_the_others_get_their_job(
    house: House,
) -> None:
    source = {"topic": "/shared", "max_size": [16, 24]}
    for name in ("stays", "goes"):
        assert house.orchestrator.register(house.task(name, input=source)).accepted
    wanted = _want(house, time.monotonic_ns())
    assert house.orchestrator.unregister("goes").accepted
    house.orchestrator.settle()
    taken = _commit(house, wanted, time.monotonic_ns())
    assert [jobs[0][0] for jobs in house.engine.submitted] == [taken.task_ids[0]]
    frames = house.orchestrator.status().frames
    assert (frames.received, frames.skipped, frames.in_flight) == (2, 1, 1)
    told = [each.task for each in house.reported if isinstance(each.reason, FrameWithdrawn)]
    assert told == ["goes"]


def test_what_takes_more_than_half_the_period_to_unpack_is_counted(house: House) -> None:
    house.orchestrator.register(house.task())
    now = time.monotonic_ns()
    for number, unpacking_ns in enumerate((0, 50 * MS, 50 * MS + 1, 90 * MS)):
        at = now + number * 100 * MS
        _commit(house, _want(house, at), at, unpacking_ns)
    (task,) = house.orchestrator.status().tasks
    assert (task.slow_unpacking, task.slow_unpacking_ns) == (2, 90 * MS)


def test_threads_of_several_topics_number_the_jobs_of_a_task_one_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one thread counts of a task, another one sees whole."""
    house.orchestrator.register(house.task("left"))
    house.orchestrator.register(house.task("right"))
    lock = Contended()
    monkeypatch.setattr(house.orchestrator.intake, "_lock", lock)
    now = time.monotonic_ns()
    left = _want(house, now, "/left/image")
    right = _want(house, now, "/right/image")
    other = threading.Thread(target=_commit, args=(house, right, now))
    inside = 0
    most = 0
    job_of = intake_module.job_of

    def numbered(*arguments: Any) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if not other.ident:
            other.start()
            while other.is_alive() and not lock.waited_for.wait(0.01):
                pass
        job = job_of(*arguments)
        inside -= 1
        return job

    monkeypatch.setattr(intake_module, "job_of", numbered)
    _commit(house, left, now)
    other.join()
    assert (most, len(house.engine.submitted)) == (1, 2)


@pytest.mark.parametrize("counts", ["want", "outpaced", "withdraw", "refuse"])
def test_whatever_counts_the_frames_of_a_task_waits_for_who_numbers_its_jobs(
    house: House, monkeypatch: pytest.MonkeyPatch, counts: str
) -> None:
    house.orchestrator.register(house.task())
    lock, intake = Contended(), house.orchestrator.intake
    monkeypatch.setattr(intake, "_lock", lock)
    now = time.monotonic_ns()
    first, second = _want(house, now), _want(house, now + 100 * MS)
    taken = intake.place(second)
    assert taken is not None
    other = threading.Thread(
        target={
            "want": lambda: intake.want(_key(house), now + 200 * MS),
            "outpaced": lambda: intake.outpaced(second, second),
            "withdraw": lambda: intake.withdraw(second),
            "refuse": lambda: intake.refuse(taken, InputError("it is damaged")),
        }[counts]
    )
    waited: list[bool] = []
    job_of = intake_module.job_of

    def numbered(*arguments: Any) -> Any:
        other.start()
        while other.is_alive() and not lock.waited_for.wait(0.01):
            pass
        waited.append(other.is_alive())
        return job_of(*arguments)

    monkeypatch.setattr(intake_module, "job_of", numbered)
    _commit(house, first, now)
    other.join()
    assert waited == [True]


@pytest.mark.parametrize("refused", [True, False])
def test_a_frame_that_is_refused_or_came_too_late_gives_its_slot_back(
    house: House, refused: bool
) -> None:
    house.orchestrator.register(house.task())
    intake, now = house.orchestrator.intake, time.monotonic_ns()
    for number in range(50):  # more than there are slots
        wanted = _want(house, now + number * 100 * MS)
        taken = intake.place(wanted)
        assert taken is not None
        if refused:
            intake.refuse(taken, InputError("it is damaged"))
        else:
            intake.withdraw(wanted)
            intake.discard(taken)
    assert _counts(house) == (50, 50, 0)


def test_a_task_that_wanted_only_the_frame_that_is_replaced_gets_the_newer_one(
    house: House,
) -> None:
    """One that takes every second frame would starve where every second one is replaced."""
    source = {"topic": "/shared", "max_size": [16, 24]}
    fast = house.orchestrator.register(house.task("fast", input=source, jitter_ms=5)).task_id
    slow = house.task("slow", input=source, jitter_ms=5, period_ms=200, deadline_ms=100)
    slow_id = house.orchestrator.register(slow).task_id
    intake, now = house.orchestrator.intake, time.monotonic_ns()
    for pair in range(4):
        before = _want(house, now + 2 * pair * 100 * MS, "/shared")
        newer = _want(house, now + (2 * pair + 1) * 100 * MS, "/shared")
        assert [len(each.tasks) for each in (before, newer)] == [2, 1]
        _commit(house, intake.outpaced(before, newer), newer.received_ns + 5 * MS)
    jobs = [job[0] for jobs in house.engine.submitted for job in jobs]
    assert (jobs.count(fast), jobs.count(slow_id)) == (4, 4)
    told = {item.reason.task for item in house.reported if isinstance(item.reason, FrameOutpaced)}
    assert told == {"fast"}
    for task in house.orchestrator.status().tasks:
        assert task.received == 8
        assert task.in_flight == 4  # in the engine, which runs nothing here


def test_a_frame_that_is_replaced_is_nothing_to_a_task_of_a_timer(house: House) -> None:
    timed = house.task(trigger={"timer": {"period_ms": 100}}, period_ms=None)
    assert house.orchestrator.register(timed).accepted
    intake, now = house.orchestrator.intake, time.monotonic_ns()
    first, second = _want(house, now), _want(house, now + MS)
    intake.withdraw(intake.outpaced(first, second))
    assert _counts(house) == (0, 0, 0)
    intake.without_slot(_want(house, now + 2 * MS))
    assert _counts(house) == (1, 1, 0)
