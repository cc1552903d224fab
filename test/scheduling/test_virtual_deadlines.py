"""Virtual deadlines count until a lane sheds, and again once it was idle."""

from __future__ import annotations

from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Job, Scheduler, VirtualDeadlines
from aegis_ros.spec import Criticality
from test.scheduling.lane import dispatched, read, released


def lane() -> Scheduler:
    scheduler = Scheduler(1, VirtualDeadlines({0: 30}))
    scheduler.add_task(0, lane=0, deadline_ns=100)
    scheduler.add_task(1, lane=0, deadline_ns=60)
    scheduler.add_task(2, lane=0, deadline_ns=40, criticality=Criticality.LOW)
    return scheduler


def job(task: int, arrival: int, deadline: int, seq: int = 0) -> Job:
    return Job(task, seq, arrival, arrival + deadline)


def test_a_virtual_deadline_comes_before_an_earlier_real_one() -> None:
    scheduler = lane()
    scheduler.release(job(1, 0, 60), 0)
    scheduler.release(job(0, 0, 100), 0)
    chosen = dispatched(scheduler, 0)
    assert chosen is not None and chosen.task_id == 0


def test_real_deadlines_count_while_the_lane_sheds() -> None:
    scheduler = lane()
    scheduler.release(job(0, 0, 100), 0)
    scheduler.release(job(1, 0, 60), 0)
    low = job(2, 0, 40)
    scheduler.release(low, 0)
    assert read(scheduler.shed(0)).skipped == [(low, Rule.CRITICALITY)]
    order = []
    for _ in range(2):
        chosen = dispatched(scheduler, 5)
        assert chosen is not None
        order.append(chosen.task_id)
        scheduler.step_done(0, 6)
    assert order == [1, 0]
    refused = job(2, 6, 40, 1)
    assert released(scheduler, refused, 6) == (refused, Rule.CRITICALITY)


def test_virtual_deadlines_count_again_after_the_lane_was_idle() -> None:
    scheduler = lane()
    scheduler.release(job(0, 0, 100), 0)
    scheduler.shed(0)
    assert dispatched(scheduler, 0) is not None
    scheduler.step_done(0, 9)
    assert scheduler.shedding(0)
    assert dispatched(scheduler, 9) is None and not scheduler.shedding(0)
    # Its rank under the real deadline was 100: the next one is not held to that.
    scheduler.release(job(1, 10, 60), 10)
    scheduler.release(job(0, 10, 100, 1), 10)
    chosen = dispatched(scheduler, 10)
    assert chosen is not None and chosen.task_id == 0
