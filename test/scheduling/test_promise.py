"""A generator with a promise: its buckets have their time in each period, and nobody is late."""

from __future__ import annotations

from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.scheduling import Finished, GeneratorPlan, Job, Promise, Scheduler
from aegis_ros.simulation import plan_of
from aegis_ros.spec import Criticality
from test.scheduling.lane import dispatched, released

_TALK = 99  # task id of the generator
_PLAN = GeneratorPlan((4, 4, 3, 3), (0, 2), 1)  # a chunk and a decode, of two parts each
_BACKGROUND = 1 << 60


def _promised(plan: GeneratorPlan, promise: Promise) -> Scheduler:
    scheduler = Scheduler(1)
    scheduler.add_task(_TALK, lane=0, plan=plan, criticality=Criticality.LOW, promise=promise)
    return scheduler


def _starts(scheduler: Scheduler, now_ns: int) -> int:
    job = dispatched(scheduler, now_ns)
    assert job is not None
    return job.task_id


def test_a_bucket_is_covered_once_a_period_and_waits_behind_all_others_until_then() -> None:
    scheduler = _promised(_PLAN, Promise(_PLAN, period_ns=100, budget_ns=8))
    scheduler.add_task(1, lane=0)
    released(scheduler, Job(_TALK, 1, 0, 1_000), 0)
    released(scheduler, Job(1, 1, 0, 150), 0)
    assert _starts(scheduler, 0) == _TALK, "its chunk has to end by 100"
    scheduler.step_done(0, 4, 4, outcome=0)
    assert _starts(scheduler, 4) == _TALK
    scheduler.step_done(0, 8, 4, outcome=1)
    assert _starts(scheduler, 8) == 1, "the decode is covered from 100 on"
    scheduler.step_done(0, 90, 82)
    assert _starts(scheduler, 90) == _TALK, "nobody else wants the lane"
    scheduler.step_done(0, 93, 3, outcome=0)
    released(scheduler, Job(1, 2, 93, 250), 93)
    assert _starts(scheduler, 93) == 1
    released(scheduler, Job(1, 3, 99, 260), 99)
    scheduler.step_done(0, 101, 8)
    assert _starts(scheduler, 101) == _TALK, "the part that is left has to end by 200"


def test_a_bucket_longer_than_the_budget_has_as_many_periods() -> None:
    promise = Promise(_PLAN, period_ns=100, budget_ns=3)
    assert promise.cover(0, 50) == 50 + 300
    assert promise.cover(1, 0) == 350 + 200, "one part of 4 is left"
    assert [promise.begins(step) for step in range(4)] == [True, False, True, False]


def test_what_takes_too_long_is_repaid_by_later_periods() -> None:
    promise = Promise(_PLAN, period_ns=100, budget_ns=8)
    promise.cover(0, 0)
    for taken, due in ((8, 100), (1, 200), (7, 200), (17, 500)):
        promise.spend(taken)
        assert promise.due_ns == due


@pytest.mark.parametrize(
    ("budgets", "period", "budget", "says"),
    [((4, 4), 0, 1, "0 ns"), ((4, 4), 1, 0, "0 ns"), ((4, 0), 1, 1, "all budgets")],
)
def test_a_promise_of_nothing_is_none(
    budgets: tuple[int, ...], period: int, budget: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Promise(GeneratorPlan(budgets, (0, 1), 1), period, budget)


def test_one_that_is_removed_is_covered_no_more() -> None:
    scheduler = _promised(_PLAN, Promise(_PLAN, 100, 8))
    released(scheduler, Job(_TALK, 1, 0, 1_000), 0)
    scheduler.remove(_TALK)
    assert dispatched(scheduler, 0) is None


# -- whatever the tasks ---------------------------------------------------------------------------

PARTS = st.lists(st.integers(1, 6), min_size=1, max_size=3)


@st.composite
def lanes(draw: st.DrawFn) -> tuple[list[AnalysisTask], GeneratorPlan, int, int]:
    """Return tasks and a generator that the proof admits, with its period and its budget."""
    buckets = draw(st.lists(PARTS, min_size=2, max_size=4))
    longest = max(map(max, buckets))
    decode = tuple(buckets[-1])
    period = sum(decode) + longest + draw(st.integers(0, 80))
    promise = AnalysisTask("promise", decode, period, period, 0, Criticality.LOW)
    slack = AnalysisTask("slack", (longest,), 1, 1, 0, Criticality.BEST_EFFORT)
    tasks = []
    for number in range(draw(st.integers(0, 3))):
        every = draw(st.integers(10, 80))
        by = draw(st.integers(5, every))
        tasks.append(AnalysisTask(str(number), tuple(draw(PARTS)), every, by, 0, Criticality.HIGH))
    while not is_schedulable([*tasks, promise, slack]):
        tasks.pop()
    begins = tuple(accumulate((len(bucket) for bucket in buckets[:-1]), initial=0))
    budgets = tuple(part for bucket in buckets for part in bucket)
    return tasks, GeneratorPlan(budgets, begins, len(buckets) - 1), period, sum(decode)


def _arrivals(tasks: list[AnalysisTask], end: int, rng: Random) -> list[tuple[int, int]]:
    """Return when jobs of which task come, mostly as often as they may."""
    found = []
    for number, task in enumerate(tasks):
        at = rng.randint(0, task.period_ns)
        while at < end:
            found.append((at, number))
            at += task.period_ns + rng.choice((0, 0, 0, rng.randint(0, task.period_ns)))
    return sorted(found)


@given(lanes(), st.randoms(use_true_random=False), st.booleans())
def test_nobody_is_late_and_no_period_is_left_out(
    lane: tuple[list[AnalysisTask], GeneratorPlan, int, int], rng: Random, early: bool
) -> None:
    tasks, plan, period, budget = lane
    promise = Promise(plan, period, budget)
    scheduler = _promised(plan, promise)
    plans = {number: plan_of(task) for number, task in enumerate(tasks)}
    for number, own in plans.items():
        scheduler.add_task(number, lane=0, plan=own)
    talk, end = Job(_TALK, 0, 0, 0), 20 * max(period, 80)
    coming = _arrivals(tasks, end, rng)
    released(scheduler, talk, 0)
    now, deadlines = 0, [0]
    while now < end:
        while coming and coming[0][0] <= now:
            at, number = coming.pop(0)
            job = Job(number, at, at, at + tasks[number].deadline_ns)
            assert released(scheduler, job, now) is None
        running = dispatched(scheduler, now)
        assert running is not None, "the generator always has something to say"
        step, covered = running.step, running.rank < _BACKGROUND
        most = plans.get(running.task_id, plan).limit(step)
        taken = rng.randint(1, most) if early else most
        while coming and coming[0][0] < now + taken:
            at, number = coming.pop(0)
            job = Job(number, at, at, at + tasks[number].deadline_ns)
            assert released(scheduler, job, at) is None
        now += taken
        if running is not talk:
            for action in scheduler.step_done(0, now, taken):
                assert isinstance(action, Finished) and now <= action.job.deadline_ns
            continue
        if covered:
            assert now <= talk.rank, "a bucket that is covered has its deadline"
            deadlines += [talk.rank] if talk.rank != deadlines[-1] else []
        scheduler.step_done(0, now, taken, rng.randrange(len(plan.begins)))
    assert promise.due_ns > now - 12, "it was covered again as soon as it was due"
    assert all((later - earlier) % period == 0 for earlier, later in pairwise(deadlines))
