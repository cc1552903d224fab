"""The scheduler's rules, one by one and under random events."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aegis_ros.scheduling import CwEdf, Job, Policy, Scheduler, Slot, Table, VirtualDeadlines
from aegis_ros.spec import Criticality


def two_tasks(queue: int = 1, segments: int = 1) -> Scheduler:
    scheduler = Scheduler(1)
    scheduler.add_task(0, lane=0, segments=segments, queue=queue)
    scheduler.add_task(1, lane=0, segments=segments, queue=queue)
    return scheduler


def test_the_earliest_deadline_runs_first() -> None:
    scheduler = two_tasks()
    scheduler.release(Job(0, 0, 0, 50), 0)
    scheduler.release(Job(1, 0, 0, 40), 0)
    chosen = scheduler.dispatch(0, 0)
    assert chosen is not None and chosen.task_id == 1
    assert scheduler.dispatch(0, 0) is None  # busy
    assert scheduler.waiting(0) == 1 and scheduler.running(0) is chosen


def test_equal_deadlines_run_in_the_order_of_release_then_of_ids() -> None:
    scheduler = two_tasks()
    scheduler.release(Job(1, 0, 0, 50), 1)
    scheduler.release(Job(0, 0, 0, 50), 2)
    chosen = scheduler.dispatch(0, 2)
    assert chosen is not None and chosen.task_id == 1
    scheduler = two_tasks()
    scheduler.release(Job(1, 0, 0, 50), 2)
    scheduler.release(Job(0, 0, 0, 50), 2)
    chosen = scheduler.dispatch(0, 2)
    assert chosen is not None and chosen.task_id == 0


def test_a_newer_frame_displaces_the_one_that_waits() -> None:
    scheduler = two_tasks()
    old, new = Job(0, 0, 0, 50), Job(0, 1, 10, 60)
    assert scheduler.release(old, 0) is None
    assert scheduler.release(new, 10) is old and old.displaced
    assert scheduler.waiting(0) == 1
    assert scheduler.dispatch(0, 10) is new


def test_a_job_that_has_begun_is_not_displaced() -> None:
    scheduler = two_tasks(segments=2)
    old, new = Job(0, 0, 0, 50), Job(0, 1, 10, 60)
    scheduler.release(old, 0)
    assert scheduler.dispatch(0, 0) is old
    assert scheduler.segment_done(0, 5) is None
    assert scheduler.release(new, 10) is None
    assert scheduler.dispatch(0, 10) is old
    assert scheduler.segment_done(0, 12) is old
    assert scheduler.dispatch(0, 12) is new


def test_a_stamp_that_goes_backwards_does_not_overtake() -> None:
    scheduler = two_tasks(queue=5)
    first, second = Job(0, 0, 100, 150), Job(0, 1, 20, 70)
    scheduler.release(first, 0)
    scheduler.release(second, 1)
    assert scheduler.dispatch(0, 1) is first


def test_a_removed_task_takes_its_jobs_along_and_its_running_one_ends() -> None:
    scheduler = two_tasks(queue=3, segments=2)
    jobs = [Job(0, seq, seq, 50 + seq) for seq in range(3)]
    for job in jobs:
        scheduler.release(job, job.arrival_ns)
    assert scheduler.dispatch(0, 3) is jobs[0]
    assert scheduler.remove_task(0) == jobs[1:]
    assert scheduler.waiting(0) == 0
    assert scheduler.segment_done(0, 9) is jobs[0]  # whatever segments were left
    assert scheduler.dispatch(0, 9) is None


def test_a_job_that_failed_is_given_up() -> None:
    scheduler = two_tasks()
    job = Job(0, 0, 0, 50)
    scheduler.release(job, 0)
    scheduler.dispatch(0, 0)
    assert scheduler.abandon(0) is job and scheduler.running(0) is None
    with pytest.raises(ValueError, match="idle"):
        scheduler.segment_done(0, 1)


def test_tasks_that_make_no_sense_are_refused() -> None:
    scheduler = two_tasks()
    with pytest.raises(ValueError, match="known already"):
        scheduler.add_task(0, lane=0)
    with pytest.raises(ValueError, match="lane 1"):
        scheduler.add_task(2, lane=1)
    with pytest.raises(ValueError, match="2 budgets for 1"):
        scheduler.add_task(2, lane=0, wcet_ns=(1, 2))
    with pytest.raises(ValueError, match="at least one lane"):
        Scheduler(0)


@st.composite
def policies(draw: st.DrawFn) -> Policy | None:
    table = Table({0: [Slot(0, 0, 0, 2, 4), Slot(0, 0, 1, 6, 8)]}, 10)
    return draw(st.sampled_from([None, CwEdf(), VirtualDeadlines({0: 5}), table]))


@example(  # the older job has lost its place and waits for a gap, the newer one has its place now
    Table({0: [Slot(0, 0, 0, 2, 4), Slot(0, 0, 1, 6, 8)]}, 10),
    2,
    [("r", 0, 6), ("r", 0, 9), ("d", 0, 7), ("s", 0, 0), ("d", 0, 1)],
)
@given(
    policies(),
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from("rrrdsswx"), st.integers(0, 2), st.integers(0, 9))),
)
def test_no_job_is_ever_lost_or_run_twice_or_out_of_turn(
    policy: Policy | None, queue: int, events: list[tuple[str, int, int]]
) -> None:
    scheduler = Scheduler(1, policy)
    levels = (Criticality.HIGH, Criticality.LOW, Criticality.BEST_EFFORT)
    for task in range(3):
        scheduler.add_task(
            task,
            lane=0,
            segments=2,
            deadline_ns=10 + task,
            period_ns=10,
            criticality=levels[task],
            queue=queue,
            wcet_ns=(2, 2),
        )
    now = 0
    released: set[Job] = set()
    gone: set[Job] = set()
    last_begun = [-1] * 3
    for seq, (event, task, step) in enumerate(events):
        now += step
        if event == "r":
            job = Job(task, seq, now, now + 10 + task)
            released.add(job)
            dropped = scheduler.release(job, now)
            if dropped is not None:
                assert dropped not in gone
                gone.add(dropped)
        elif event == "d":
            chosen = scheduler.dispatch(0, now)
            if chosen is not None:
                assert chosen in released - gone
                assert scheduler.running(0) is chosen
                if chosen.segment == 0:
                    assert chosen.seq > last_begun[chosen.task_id]
                    last_begun[chosen.task_id] = chosen.seq
        elif event == "s" and scheduler.running(0) is not None:
            done = scheduler.segment_done(0, now)
            if done is not None:
                assert done not in gone
                gone.add(done)
        elif event == "w" and scheduler.running(0) is None:
            dropped_all = scheduler.shed(0, now)
            assert not gone & set(dropped_all)
            assert all(levels[job.task_id] is not Criticality.HIGH for job in dropped_all)
            gone.update(dropped_all)
        elif event == "x" and scheduler.running(0) is not None:
            given_up = scheduler.abandon(0, now)
            assert given_up is not None
            gone.add(given_up)
        running = scheduler.running(0)
        assert scheduler.waiting(0) == len(released - gone) - (running is not None)
