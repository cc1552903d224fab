"""The scheduler's rules, one by one and under random events."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aegis_ros.rationale import Rule
from aegis_ros.scheduling import (
    CwEdf,
    Dispatch,
    Finished,
    Job,
    Policy,
    Scheduler,
    SegmentPlan,
    Skipped,
    Slot,
    Table,
    VirtualDeadlines,
)
from aegis_ros.spec import Criticality, OverrunPolicy
from test.scheduling.lane import dispatched, ended, read, released, skips

WHOLE = SegmentPlan()
HALVES = SegmentPlan(2)


def two_tasks(queue: int = 1, plan: SegmentPlan = WHOLE) -> Scheduler:
    scheduler = Scheduler(1)
    scheduler.add_task(0, lane=0, plan=plan, queue=queue)
    scheduler.add_task(1, lane=0, plan=plan, queue=queue)
    return scheduler


def test_the_earliest_deadline_runs_first() -> None:
    scheduler = two_tasks()
    scheduler.release(Job(0, 0, 0, 50), 0)
    scheduler.release(Job(1, 0, 0, 40), 0)
    chosen = dispatched(scheduler, 0)
    assert chosen is not None and chosen.task_id == 1
    assert dispatched(scheduler, 0) is None  # busy
    assert scheduler.waiting(0) == 1 and scheduler.running(0) == (chosen,)


def test_equal_deadlines_run_in_the_order_of_release_then_of_ids() -> None:
    scheduler = two_tasks()
    scheduler.release(Job(1, 0, 0, 50), 1)
    scheduler.release(Job(0, 0, 0, 50), 2)
    chosen = dispatched(scheduler, 2)
    assert chosen is not None and chosen.task_id == 1
    scheduler = two_tasks()
    scheduler.release(Job(1, 0, 0, 50), 2)
    scheduler.release(Job(0, 0, 0, 50), 2)
    chosen = dispatched(scheduler, 2)
    assert chosen is not None and chosen.task_id == 0


def test_a_newer_frame_displaces_the_one_that_waits() -> None:
    scheduler = two_tasks()
    old, new = Job(0, 0, 0, 50), Job(0, 1, 10, 60)
    assert released(scheduler, old, 0) is None
    assert released(scheduler, new, 10) == (old, Rule.NEWER_FRAME)
    assert scheduler.waiting(0) == 1
    assert dispatched(scheduler, 10) is new


def test_a_job_that_has_begun_is_not_displaced() -> None:
    scheduler = two_tasks(plan=HALVES)
    old, new = Job(0, 0, 0, 50), Job(0, 1, 10, 60)
    scheduler.release(old, 0)
    assert dispatched(scheduler, 0) is old
    assert ended(scheduler, 5).finished is None
    assert released(scheduler, new, 10) is None
    assert dispatched(scheduler, 10) is old
    assert ended(scheduler, 12).finished is old
    assert dispatched(scheduler, 12) is new


def test_a_stamp_that_goes_backwards_does_not_overtake() -> None:
    scheduler = two_tasks(queue=5)
    first, second = Job(0, 0, 100, 150), Job(0, 1, 20, 70)
    scheduler.release(first, 0)
    scheduler.release(second, 1)
    assert dispatched(scheduler, 1) is first


def test_a_removed_task_takes_its_jobs_along_and_its_running_one_ends() -> None:
    scheduler = two_tasks(queue=3, plan=HALVES)
    jobs = [Job(0, seq, seq, 50 + seq) for seq in range(3)]
    for job in jobs:
        scheduler.release(job, job.arrival_ns)
    assert dispatched(scheduler, 3) is jobs[0]
    assert skips(scheduler.remove(0)) == [(job, Rule.OPERATOR) for job in jobs[1:]]
    assert scheduler.waiting(0) == 0
    over = ended(scheduler, 9)  # whatever steps were left
    assert over.skipped == [(jobs[0], Rule.OPERATOR)] and over.finished is None
    assert dispatched(scheduler, 9) is None


def test_a_job_that_failed_is_given_up() -> None:
    scheduler = two_tasks()
    job = Job(0, 0, 0, 50)
    scheduler.release(job, 0)
    dispatched(scheduler, 0)
    (given_up,) = scheduler.abandon(0, 0, detail="no memory")
    assert given_up == Skipped(job, Rule.RUN_FAILED, "no memory")
    assert scheduler.running(0) == ()
    with pytest.raises(ValueError, match="idle"):
        scheduler.step_done(0, 1)


def test_all_that_happens_at_an_instant_is_known_before_anything_starts() -> None:
    scheduler = two_tasks()
    lax, urgent = Job(0, 0, 5, 90), Job(1, 0, 5, 20)
    assert not scheduler.release(lax, 5)
    assert not scheduler.release(urgent, 5)
    assert dispatched(scheduler, 5) is urgent


def test_lanes_start_at_one_tick_and_end_each_for_itself() -> None:
    scheduler = Scheduler(3)
    for task in range(4):
        scheduler.add_task(task, lane=task % 3, plan=HALVES)
    jobs = [Job(task, 0, 0, 50 + task) for task in range(4)]
    for job in jobs:
        scheduler.release(job, 0)
    begun = [(each.lane, each.jobs) for each in scheduler.tick(0) if isinstance(each, Dispatch)]
    assert begun == [(0, (jobs[0],)), (1, (jobs[1],)), (2, (jobs[2],))]
    assert not scheduler.step_done(1, 4)
    (again,) = scheduler.tick(4)
    assert isinstance(again, Dispatch) and (again.lane, again.jobs) == (1, (jobs[1],))
    assert again.step == 1
    assert not scheduler.tick(5)


def test_a_lane_that_is_reserved_starts_no_job_until_it_is_given_back() -> None:
    scheduler = two_tasks()
    assert scheduler.reserve(0) and not scheduler.reserve(0)
    job = Job(0, 0, 0, 50)
    scheduler.release(job, 0)
    assert dispatched(scheduler, 0) is None
    scheduler.give_back(0)
    assert dispatched(scheduler, 1) is job
    assert not scheduler.reserve(0)


def test_tasks_that_make_no_sense_are_refused() -> None:
    scheduler = two_tasks()
    with pytest.raises(ValueError, match="known already"):
        scheduler.add_task(0, lane=0)
    with pytest.raises(ValueError, match="lane 1"):
        scheduler.add_task(2, lane=1)
    with pytest.raises(ValueError, match="2 budgets for 1"):
        scheduler.add_task(2, lane=0, plan=SegmentPlan(1, (1, 2)))
    with pytest.raises(ValueError, match="low budgets of 2 for 1"):
        scheduler.add_task(2, lane=0, low=HALVES)
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
            plan=SegmentPlan(2, (2, 2)),
            deadline_ns=10 + task,
            period_ns=10,
            criticality=levels[task],
            queue=queue,
        )
    now = 0
    known: set[Job] = set()
    gone: set[Job] = set()
    last_begun = [-1] * 3
    for seq, (event, task, step) in enumerate(events):
        now += step
        running = scheduler.running(0)
        if event == "r":
            job = Job(task, seq, now, now + 10 + task)
            known.add(job)
            dropped = released(scheduler, job, now)
            if dropped is not None:
                assert dropped[0] not in gone
                gone.add(dropped[0])
        elif event == "d":
            chosen = dispatched(scheduler, now)
            if chosen is not None:
                assert not running and chosen in known - gone
                assert scheduler.running(0) == (chosen,)
                if chosen.step == 0:
                    assert chosen.seq > last_begun[chosen.task_id]
                    last_begun[chosen.task_id] = chosen.seq
        elif event == "s" and running:
            done = ended(scheduler, now).finished
            if done is not None:
                assert done not in gone
                gone.add(done)
        elif event == "w" and not running:
            dropped_all = read(scheduler.shed(0)).dropped
            assert not gone & set(dropped_all)
            assert all(levels[job.task_id] is not Criticality.HIGH for job in dropped_all)
            gone.update(dropped_all)
        elif event == "x" and running:
            (given_up,) = scheduler.abandon(0, now)
            assert isinstance(given_up, Skipped) and given_up.job is running[0]
            gone.add(given_up.job)
        left = len(known - gone)
        assert scheduler.waiting(0) == left - len(scheduler.running(0))


class Loop:
    """A plan that comes back to its step until it is asked to stop, as a generator does."""

    steps, total_ns, exit_after, branches = 2, 0, 0, True

    def first(self) -> int:
        return 0

    def after(self, step: int, outcome: object) -> int | None:
        return None if outcome == "end" else 1

    def limit(self, step: int) -> int:
        return (5, 3)[step]

    def remaining_ns(self, step: int) -> int:
        return self.limit(step)


def test_a_plan_decides_from_the_outcome_what_comes_next() -> None:
    scheduler = Scheduler(1)
    scheduler.add_task(0, lane=0, plan=Loop())
    scheduler.add_task(1, lane=0)
    job, urgent = Job(0, 0, 0, 50), Job(1, 0, 3, 10)
    scheduler.release(job, 0)
    assert dispatched(scheduler, 0) is job and job.step == 0
    assert not scheduler.step_done(0, 5, 5)
    assert dispatched(scheduler, 5) is job and job.step == 1
    scheduler.release(urgent, 6)
    assert not scheduler.step_done(0, 8, 3, "more")
    assert dispatched(scheduler, 8) is urgent  # a boundary is one, whoever comes back to it
    scheduler.step_done(0, 9, 1)
    assert dispatched(scheduler, 9) is job and job.step == 1
    (over,) = scheduler.step_done(0, 12, 3, "end")
    assert isinstance(over, Finished) and over.job is job


class Lost(Loop):
    """A plan that goes on wherever the outcome says, or raises."""

    def after(self, step: int, outcome: object) -> int | None:
        if outcome == "raise":
            raise KeyError(outcome)
        return outcome  # type: ignore[return-value]


@pytest.mark.parametrize("outcome", ["raise", "x", 2, -1])
def test_a_plan_that_does_not_know_what_follows_leaves_its_job_to_be_given_up(
    outcome: object,
) -> None:
    scheduler = Scheduler(2)
    scheduler.add_task(0, lane=1, plan=Lost(), on_overrun=OverrunPolicy.SKIP_NEXT)
    job = Job(0, 0, 0, 50)
    scheduler.release(job, 0)
    assert dispatched(scheduler, 0, lane=1) is job
    with pytest.raises((KeyError, TypeError, ValueError)):
        scheduler.step_done(1, 5, 5, outcome)
    assert scheduler.running(1) == (job,) and not scheduler.tick(5)
    assert skips(scheduler.abandon(1, 5, 5)) == [(job, Rule.RUN_FAILED)]
    scheduler.release(Job(0, 1, 6, 56), 6)
    assert dispatched(scheduler, 6, lane=1) is not None


class Astray(Loop):
    branches = False

    def after(self, step: int, outcome: object) -> int | None:
        return step + 1


def test_a_plan_that_names_steps_it_does_not_have_is_refused() -> None:
    scheduler = Scheduler(1, CwEdf())
    with pytest.raises(ValueError, match="step 2, and has 2 steps"):
        scheduler.add_task(0, lane=0, plan=Astray(), period_ns=10, deadline_ns=10)
    scheduler.add_task(0, lane=0, plan=Loop(), period_ns=10, deadline_ns=10)
