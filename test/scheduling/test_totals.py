"""The budget of a whole job beside those of its segments, where a segment ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Job, Scheduler
from aegis_ros.spec import Criticality, OverrunPolicy


def scheduler(policy: OverrunPolicy | None, total: int, **more: int) -> Scheduler:
    """Task 0 in three segments of 10 with a total, and task 1 of low criticality."""
    made = Scheduler(1)
    made.add_task(
        0,
        lane=0,
        segments=3,
        wcet_ns=(10, 10, 10),
        on_overrun=policy,
        low_ns=(10, 10, 10) if "low_total_ns" in more else (),
        total_ns=total,
        **more,
    )
    made.add_task(1, lane=0, criticality=Criticality.LOW)
    return made


def run(made: Scheduler, *taken_ns: int) -> tuple[Job, list[int]]:
    """Run a job's segments until it ends; return it, and after which segments it was told of."""
    job = Job(0, 0, 0, 99)
    assert made.release(job, 0) is None
    now, told = 0, []
    for segment, taken in enumerate(taken_ns):
        if made.dispatch(0, now) is not job:
            break
        now += taken
        done = made.segment_done(0, now, taken)
        if made.take_overrun(0) is not None:
            told.append(segment)
        if done is not None:
            break
    return job, told


@pytest.mark.parametrize("policy", OverrunPolicy)
@pytest.mark.parametrize("taken", [(10, 10, 1), (1, 10, 10), (7, 7, 7), (10, 1, 10)])
def test_a_job_within_its_total_is_not_told_of_however_it_spends_it(
    policy: OverrunPolicy, taken: tuple[int, ...]
) -> None:
    made = scheduler(policy, 21)
    job, told = run(made, *taken)
    assert told == [] and job.segment == 3 and not job.displaced
    assert made.release(Job(0, 1, 50, 149), 50) is None


@pytest.mark.parametrize(
    ("taken", "when"), [((10, 10, 2), [2]), ((10, 10, 10), [2]), ((9, 10, 3), [2])]
)
def test_what_a_job_takes_beyond_its_total_is_told_once_and_paid_back(
    taken: tuple[int, ...], when: list[int]
) -> None:
    made = scheduler(OverrunPolicy.SKIP_NEXT, 21)
    job, told = run(made, *taken)
    assert told == when and not job.displaced
    refused = made.release(Job(0, 1, 50, 149), 50)
    assert refused is not None and refused.reason is Rule.OVERRUN
    assert made.release(Job(0, 2, 90, 189), 90) is None


def test_a_job_beyond_its_total_is_stopped_at_the_next_boundary() -> None:
    job, told = run(scheduler(OverrunPolicy.STOP, 15), 10, 10, 10)
    assert told == [1] and job.segment == 2 and job.displaced and job.reason is Rule.OVERRUN


def test_a_job_beyond_its_total_is_told_once_where_nothing_is_done_before_it_ends() -> None:
    job, told = run(scheduler(OverrunPolicy.SKIP_NEXT, 15), 10, 10, 1)
    assert told == [1, 2] and job.segment == 3  # passed, and at the end what is owed for it


def test_a_segment_may_use_what_those_before_it_left_only_up_to_the_total() -> None:
    stop = OverrunPolicy.STOP
    assert not run(scheduler(stop, 21), 2, 15, 4)[0].displaced
    job, told = run(scheduler(stop, 21), 8, 15, 4)
    assert told == [1] and job.displaced


def test_a_lane_sheds_when_a_whole_job_exceeds_its_low_budget() -> None:
    made = scheduler(None, 0, low_total_ns=15)
    run(made, 10, 5)
    assert not made.shedding(0)
    made = scheduler(None, 0, low_total_ns=15)
    _, told = run(made, 10, 6)
    assert told == [1] and made.shedding(0)
    refused = made.release(Job(1, 0, 20, 99), 20)
    assert refused is not None and refused.reason is Rule.CRITICALITY


def test_a_lane_with_room_stretches_totals_like_budgets() -> None:
    made = scheduler(OverrunPolicy.STOP, 15)
    made.stretch_budgets(0, 1.0, 2.0)
    made.release(Job(0, 0, 0, 99), 0)
    for now in (0, 10):
        assert made.dispatch(0, now) is not None
        made.segment_done(0, now + 10, 10)
    overrun = made.take_overrun(0)
    assert overrun is not None and overrun.absorbed and overrun.applied is None
    assert made.dispatch(0, 20) is not None
    assert made.segment_done(0, 31, 11) is not None
    overrun = made.take_overrun(0)
    assert overrun is not None and not overrun.absorbed and overrun.skips == 1


@given(
    st.lists(st.integers(1, 12), min_size=3, max_size=3),
    st.integers(10, 30),
    st.sampled_from(OverrunPolicy),
)
def test_a_job_is_left_alone_exactly_where_it_keeps_every_budget(
    taken: list[int], total: int, policy: OverrunPolicy
) -> None:
    made = scheduler(policy, total)
    _, told = run(made, *taken)
    assert (told == []) == (max(taken) <= 10 and sum(taken) <= total)


def test_the_shares_of_a_job_s_segments_end_where_its_whole_may() -> None:
    made = Scheduler(1)
    made.add_task(
        0,
        lane=0,
        segments=3,
        wcet_ns=(40, 40, 40),
        total_ns=90,
        on_overrun=OverrunPolicy.SKIP_NEXT,
    )
    made.add_task(1, lane=0, segments=2)
    first, unknown = Job(0, 0, 0, 1000, 0), Job(1, 0, 0, 2000, 0)
    made.release(first, 0)
    shares = []
    for now in (0, 40, 80):
        assert made.dispatch(0, now) is first
        shares.append(made.share_ns(first))
        made.segment_done(0, now + 40, 30)
    assert shares == [40, 40, 10]
    assert made.share_ns(unknown) == 0
