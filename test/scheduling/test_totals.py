"""The budget of a whole job beside those of its segments, where a segment ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.rationale import Rule
from aegis_ros.scheduling import Job, Scheduler, SegmentPlan
from aegis_ros.spec import Criticality, OverrunPolicy
from test.scheduling.lane import Ended, dispatched, ended, released


def scheduler(policy: OverrunPolicy | None, total: int, low_total: int = 0) -> Scheduler:
    """Task 0 in three segments of 10 with a total, and task 1 of low criticality."""
    made = Scheduler(1)
    made.add_task(
        0,
        lane=0,
        plan=SegmentPlan(3, (10, 10, 10), total),
        on_overrun=policy,
        low=SegmentPlan(3, (10, 10, 10), low_total) if low_total else None,
    )
    made.add_task(1, lane=0, criticality=Criticality.LOW)
    return made


def run(made: Scheduler, *taken_ns: int) -> tuple[Ended, list[int]]:
    """Run a job's segments until it ends; return how, and after which segments it overran."""
    job = Job(0, 0, 0, 99)
    assert released(made, job, 0) is None
    now, overran, over = 0, [], Ended()
    for segment, taken in enumerate(taken_ns):
        if dispatched(made, now) is not job:
            break
        assert job.step == segment
        now += taken
        over = ended(made, now, taken)
        if over.overrun is not None:
            overran.append(segment)
        if over.finished or over.skipped:
            break
    return over, overran


@pytest.mark.parametrize("policy", OverrunPolicy)
@pytest.mark.parametrize("taken", [(10, 10, 1), (1, 10, 10), (7, 7, 7), (10, 1, 10)])
def test_a_job_within_its_total_is_not_reported_however_it_spends_it(
    policy: OverrunPolicy, taken: tuple[int, ...]
) -> None:
    made = scheduler(policy, 21)
    over, overran = run(made, *taken)
    assert overran == [] and over.finished is not None and over.finished.step == 2
    assert released(made, Job(0, 1, 50, 149), 50) is None


@pytest.mark.parametrize(
    ("taken", "when"), [((10, 10, 2), [2]), ((10, 10, 10), [2]), ((9, 10, 3), [2])]
)
def test_what_a_job_takes_beyond_its_total_is_reported_once_and_paid_back(
    taken: tuple[int, ...], when: list[int]
) -> None:
    made = scheduler(OverrunPolicy.SKIP_NEXT, 21)
    over, overran = run(made, *taken)
    assert overran == when and over.finished is not None
    refused = released(made, Job(0, 1, 50, 149), 50)
    assert refused is not None and refused[1] is Rule.OVERRUN
    assert released(made, Job(0, 2, 90, 189), 90) is None


def test_a_job_beyond_its_total_is_stopped_at_the_next_boundary() -> None:
    over, overran = run(scheduler(OverrunPolicy.STOP, 15), 10, 10, 10)
    assert overran == [1] and over.finished is None
    ((job, rule),) = over.skipped
    assert job.step == 1 and rule is Rule.OVERRUN


def test_a_job_beyond_its_total_is_reported_once_where_nothing_is_done_before_it_ends() -> None:
    over, overran = run(scheduler(OverrunPolicy.SKIP_NEXT, 15), 10, 10, 1)
    assert (
        overran == [1, 2] and over.finished is not None
    )  # passed, and at the end what is owed for it


def test_a_segment_may_use_what_those_before_it_left_only_up_to_the_total() -> None:
    stop = OverrunPolicy.STOP
    assert run(scheduler(stop, 21), 2, 15, 4)[0].finished is not None
    over, overran = run(scheduler(stop, 21), 8, 15, 4)
    assert overran == [1] and over.finished is None and len(over.skipped) == 1


def test_a_lane_sheds_when_a_whole_job_exceeds_its_low_budget() -> None:
    made = scheduler(None, 0, low_total=15)
    run(made, 10, 5)
    assert not made.shedding(0)
    made = scheduler(None, 0, low_total=15)
    _, overran = run(made, 10, 6)
    assert overran == [1] and made.shedding(0)
    refused = released(made, Job(1, 0, 20, 99), 20)
    assert refused is not None and refused[1] is Rule.CRITICALITY


def test_a_lane_with_room_stretches_totals_like_budgets() -> None:
    made = scheduler(OverrunPolicy.STOP, 15)
    made.stretch_budgets(0, 1.0, 2.0)
    made.release(Job(0, 0, 0, 99), 0)
    for now in (0, 10):
        assert dispatched(made, now) is not None
        overrun = ended(made, now + 10, 10).overrun
    assert overrun is not None and overrun.absorbed and overrun.applied is None
    assert dispatched(made, 20) is not None
    over = ended(made, 31, 11)
    overrun = over.overrun
    assert over.finished is not None
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
    _, overran = run(made, *taken)
    assert (overran == []) == (max(taken) <= 10 and sum(taken) <= total)


def test_the_shares_of_a_job_s_segments_end_where_its_whole_may() -> None:
    made = Scheduler(1)
    made.add_task(
        0,
        lane=0,
        plan=SegmentPlan(3, (40, 40, 40), 90),
        on_overrun=OverrunPolicy.SKIP_NEXT,
    )
    made.add_task(1, lane=0, plan=SegmentPlan(2))
    first, unknown = Job(0, 0, 0, 1000), Job(1, 0, 0, 2000)
    made.release(first, 0)
    shares = []
    for now in (0, 40, 80):
        assert dispatched(made, now) is first
        shares.append(made.share_ns(first))
        made.step_done(0, now + 40, 30)
    assert shares == [40, 40, 10]
    assert made.share_ns(unknown) == 0
