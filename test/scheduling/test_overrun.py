"""Budgets at segment boundaries: who pays for an overrun, and who is dropped for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import EarlyExitPlan, Job, Scheduler, SegmentPlan
from aegis_ros.simulation import Workload, plan_of, simulate
from aegis_ros.spec import Criticality, OverrunPolicy
from test.scheduling.lane import Ended, dispatched, ended, read, released, skips

MS = 1_000_000
SKIP_NEXT, DEMOTE, STOP = OverrunPolicy.SKIP_NEXT, OverrunPolicy.DEMOTE, OverrunPolicy.STOP
EARLY_EXIT = OverrunPolicy.EARLY_EXIT


def scheduler(
    policy: OverrunPolicy, *budgets_ns: int, queue: int = 1, exit_after: int = 0
) -> Scheduler:
    """Task 0 with budgets, and task 1 that nothing is asked of."""
    made = Scheduler(1)
    made.add_task(0, lane=0, plan=plan(budgets_ns, exit_after), on_overrun=policy, queue=queue)
    made.add_task(1, lane=0)
    return made


def plan(budgets_ns: tuple[int, ...], exit_after: int = 0) -> SegmentPlan:
    if exit_after:
        return EarlyExitPlan(len(budgets_ns), budgets_ns, 0, exit_after)
    return SegmentPlan(len(budgets_ns), budgets_ns)


def run(made: Scheduler, job: Job, now_ns: int, *taken_ns: int) -> Ended:
    """Release a job and run as many segments of it as there are times."""
    assert released(made, job, now_ns) is None
    over = Ended()
    for taken in taken_ns:
        assert dispatched(made, now_ns) is job
        now_ns += taken
        before, over = over, ended(made, now_ns, taken)
        over.overrun = over.overrun or before.overrun
    return over


@pytest.mark.parametrize("policy", OverrunPolicy)
def test_a_job_within_its_budget_changes_nothing(policy: OverrunPolicy) -> None:
    made = scheduler(policy, 10, 20)
    over = run(made, Job(0, 0, 0, 99), 0, 10, 20)
    assert over.finished is not None and over.overrun is None
    assert released(made, Job(0, 1, 50, 149), 50) is None


@pytest.mark.parametrize("policy", OverrunPolicy)
@pytest.mark.parametrize(("taken", "skips"), [(31, 1), (60, 1), (61, 2), (300, 9)])
def test_what_is_taken_beyond_the_budget_is_paid_back_by_the_next_jobs(
    policy: OverrunPolicy, taken: int, skips: int
) -> None:
    made = scheduler(policy, 30)
    over = run(made, Job(0, 0, 0, 99), 0, taken)
    assert over.finished is not None and not over.skipped
    overrun = over.overrun
    assert overrun is not None
    assert (overrun.taken_ns, overrun.budget_ns, overrun.skips) == (taken, 30, skips)
    for seq in range(1, skips + 1):
        job = Job(0, seq, 100 * seq, 100 * seq + 99)
        assert released(made, job, 100 * seq) == (job, Rule.OVERRUN)
    assert released(made, Job(0, 99, 2000, 2099), 2000) is None


def test_what_was_paid_too_much_is_no_credit_for_the_next_overrun() -> None:
    made = scheduler(SKIP_NEXT, 30)
    for start in (0, 1000, 2000):
        overrun = run(made, Job(0, start, start, start + 99), start, 31).overrun
        assert overrun is not None and overrun.skips == 1
        paying = Job(0, start + 1, start + 100, start + 199)
        assert released(made, paying, start + 100) == (paying, Rule.OVERRUN)


def test_on_a_slower_device_budgets_count_as_much_more() -> None:
    made = scheduler(STOP, 10, 20)
    made.stretch_budgets(0, 1.5, 1.5)
    made.add_task(2, lane=0, plan=plan((10,)), on_overrun=SKIP_NEXT)
    assert run(made, Job(0, 0, 0, 99), 0, 15, 30).overrun is None
    assert run(made, Job(2, 0, 100, 199), 100, 15).overrun is None
    made.stretch_budgets(0, 1.0, 1.0)
    overrun = run(made, Job(0, 1, 200, 299), 200, 11).overrun
    assert overrun is not None and (overrun.budget_ns, overrun.applied) == (10, STOP)


def test_a_task_is_held_to_other_budgets_from_then_on_and_still_owes() -> None:
    made = scheduler(SKIP_NEXT, 10, 20)
    assert run(made, Job(0, 0, 0, 99), 0, 40, 20).overrun is not None
    made.change_budgets(0, plan((15, 45)))
    paying = Job(0, 1, 100, 199)
    assert released(made, paying, 100) == (paying, Rule.OVERRUN)
    assert run(made, Job(0, 2, 200, 299), 200, 15, 45).overrun is None
    overrun = run(made, Job(0, 3, 300, 399), 300, 16).overrun
    assert overrun is not None and overrun.budget_ns == 15
    with pytest.raises(ValueError, match="other steps"):
        made.change_budgets(0, plan((60,)))


@pytest.mark.parametrize("factor", [0.0, -1.0, float("inf"), float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="stretched"):
        Scheduler(1).stretch_budgets(0, factor, factor)


@pytest.mark.parametrize("policy", OverrunPolicy)
def test_an_overrun_the_lane_has_room_for_is_reported_and_nothing_follows(
    policy: OverrunPolicy,
) -> None:
    made = scheduler(policy, 10, 20)
    made.stretch_budgets(0, 1.0, 2.0)
    for seq, parts in enumerate(((20, 40), (15, 45))):
        start = 1000 * seq
        job = Job(0, seq, start, start + 99)
        assert released(made, job, start) is None
        for part in parts:
            assert dispatched(made, start) is job
            overrun = ended(made, start, part).overrun
            assert overrun is not None
            assert overrun.applied is None and overrun.skips == 0
            assert overrun.absorbed == (part <= 40)
    assert released(made, Job(0, 2, 2000, 2099), 2000) is None


def test_a_critical_overrun_the_lane_has_room_for_sheds_nobody() -> None:
    made = mixed()
    made.stretch_budgets(0, 1.0, 2.0)
    released(made, Job(0, 0, 0, 50), 0)
    dispatched(made, 0)
    overrun = ended(made, 20, 20).overrun
    assert overrun is not None and overrun.absorbed and not overrun.sheds


@pytest.mark.parametrize(("idle", "pays"), [(4, True), (5, False)])
def test_time_that_nobody_wants_pays_for_a_small_overrun(idle: int, pays: bool) -> None:
    made = scheduler(SKIP_NEXT, 10)
    released(made, Job(0, 0, 0, 99), 0)
    dispatched(made, 0)
    overrun = ended(made, 15, 15).overrun
    assert overrun is not None and overrun.skips == 1
    assert dispatched(made, 15) is None  # from here on there is nothing to do
    following = Job(0, 1, 15 + idle, 199)
    assert (released(made, following, 15 + idle) == (following, Rule.OVERRUN)) is pays


def test_time_between_other_jobs_pays_together_and_time_that_is_used_does_not() -> None:
    made = scheduler(SKIP_NEXT, 10)
    released(made, Job(0, 0, 0, 99), 0)
    dispatched(made, 0)
    ended(made, 15, 15)
    now = 15
    for seq in range(2):  # 2 idle, 50 busy, 2 idle, 50 busy
        assert dispatched(made, now) is None
        released(made, Job(1, seq, now + 2, 999), now + 2)
        assert dispatched(made, now + 2) is not None
        now += 52
        ended(made, now, 50)
    assert dispatched(made, now) is None
    early = Job(0, 1, now, 999)
    assert released(made, early, now) == (early, Rule.OVERRUN)
    following = Job(0, 2, now, 999)
    assert released(made, following, now) is None


@pytest.mark.parametrize("idle", [0, 10**9])
def test_who_takes_twice_its_budget_comes_less_often_whatever_time_there_is(idle: int) -> None:
    made = scheduler(SKIP_NEXT, 10)
    released(made, Job(0, 0, 0, 99), 0)
    dispatched(made, 0)
    ended(made, 20, 20)
    dispatched(made, 20)
    following = Job(0, 1, 20 + idle, 99)
    assert released(made, following, 20 + idle) == (following, Rule.OVERRUN)


def _after(jobs: int, made: Scheduler, *, every: int = 100) -> int:
    """Run jobs that keep their budget; return when the next one comes."""
    for seq in range(jobs):
        over = run(made, Job(0, seq, seq * every, seq * every + 99), seq * every, 10)
        assert over.overrun is None
        assert dispatched(made, seq * every + 10) is None
    return jobs * every


@pytest.mark.parametrize(("before", "idle", "skips"), [(30, 25, 0), (30, 24, 1), (29, 25, 3)])
def test_a_rare_overrun_of_any_size_is_repaid_by_idle_time(
    before: int, idle: int, skips: int
) -> None:
    made = scheduler(SKIP_NEXT, 10)
    now = _after(before, made)
    overrun = run(made, Job(0, before, now, now + 99), now, 35).overrun  # 3 budgets, begun
    assert overrun is not None and overrun.skips == 3
    now += 35
    assert dispatched(made, now) is None
    now += idle
    skipped = 0
    while True:
        job = Job(0, before + 1 + skipped, now, now + 99)
        if released(made, job, now) is None:
            break
        skipped += 1
    assert skipped == skips


def test_a_rare_overrun_is_repaid_by_idle_time_and_skipped_jobs_together() -> None:
    made = scheduler(SKIP_NEXT, 10)
    now = _after(40, made)
    run(made, Job(0, 40, now, now + 99), now, 45)
    now += 45
    for seq in (41, 42):  # 35 are owed: 8 idle, a budget, 8 idle, a budget
        assert dispatched(made, now) is None
        now += 8
        job = Job(0, seq, now, now + 99)
        assert released(made, job, now) == (job, Rule.OVERRUN)
    assert released(made, Job(0, 43, now, now + 99), now) is None


def test_an_overrun_soon_after_another_is_not_rare() -> None:
    made = scheduler(SKIP_NEXT, 10)
    now = _after(30, made)
    for seq in (30, 31):
        run(made, Job(0, seq, now, now + 99), now, 30)
        assert dispatched(made, now + 30) is None
        now += 1000
    following = Job(0, 32, now, now + 99)
    assert released(made, following, now) == (following, Rule.OVERRUN)


@given(st.integers(1, 8), st.integers(0, 49), st.integers(90, 110))
def test_after_a_rare_overrun_everybody_is_in_time_as_soon_as_the_lane_was_idle(
    budgets: int, phase: int, at: int
) -> None:
    tasks = [
        AnalysisTask("rare", (10 * MS,), 50 * MS, 50 * MS),
        AnalysisTask("other", (20 * MS,), 100 * MS, 100 * MS),
    ]
    rare = np.arange(0, 10_000, 50, dtype=np.int64) * MS
    other = (np.arange(0, 10_000, 100, dtype=np.int64) + phase) * MS
    arrival = np.concatenate([rare, other])
    owner = np.repeat(np.array([0, 1], np.int64), [len(rare), len(other)])
    execution = [(10 * MS,)] * len(rare) + [(20 * MS,)] * len(other)
    execution[at] = ((1 + budgets) * 10 * MS,)
    jobs = Workload.of(owner, arrival, arrival, execution)
    held = simulate(tasks, jobs, on_overrun=[SKIP_NEXT, SKIP_NEXT], queue=1)
    free = simulate(tasks, jobs, queue=1)  # nobody is skipped for it
    # Of what the lane was behind with, it catches up 40 % of the time that passes.
    after = jobs.arrival_ns >= rare[at] + (budgets + 3) * 50 * MS
    for outcome in (held, free):
        assert (outcome.finished_ns[after] >= 0).all()
        assert (outcome.finished_ns[after] <= outcome.deadline_ns[after]).all()
    skipped = int((held.finished_ns < 0).sum())
    assert skipped <= budgets
    assert budgets < 2 or skipped < budgets, "idle time has repaid a part"


def test_a_job_that_waits_already_pays_first() -> None:
    made = scheduler(SKIP_NEXT, 30, queue=2)
    first, second, third = Job(0, 0, 0, 99), Job(0, 1, 10, 109), Job(0, 2, 20, 119)
    released(made, first, 0)
    dispatched(made, 0)
    released(made, second, 10)
    released(made, third, 20)
    over = ended(made, 40, 40)
    assert over.finished is first and over.dropped == (second,)
    assert over.overrun is not None and over.overrun.skips == 1
    assert made.waiting(0) == 1
    assert dispatched(made, 40) is third


def test_time_that_earlier_segments_left_unused_is_the_jobs_own() -> None:
    made = scheduler(STOP, 10, 20)
    over = run(made, Job(0, 0, 0, 99), 0, 5, 25)
    assert over.finished is not None and not over.skipped
    overrun = over.overrun
    assert overrun is not None and overrun.skips == 0 and overrun.applied is None  # nobody pays
    assert released(made, Job(0, 1, 100, 199), 100) is None


def test_a_stopped_job_ends_at_the_boundary_and_owes_nothing_it_did_not_take() -> None:
    made = scheduler(STOP, 10, 20)
    job = Job(0, 0, 0, 99)
    over = run(made, job, 0, 12)
    assert over.skipped == [(job, Rule.OVERRUN)] and over.finished is None and job.step == 0
    overrun = over.overrun
    assert overrun is not None and overrun.applied is STOP and overrun.skips == 0
    assert dispatched(made, 12) is None
    assert released(made, Job(0, 1, 100, 199), 100) is None


@pytest.mark.parametrize(("taken", "skips"), [(11, 0), (60, 0), (61, 1), (180, 2)])
def test_a_job_over_its_budget_ends_at_its_early_exit_and_owes_what_it_took(
    taken: int, skips: int
) -> None:
    made = scheduler(EARLY_EXIT, 10, 20, 30, exit_after=1)
    job = Job(0, 0, 0, 99)
    over = run(made, job, 0, taken)
    assert over.finished is job and over.early and job.step == 0
    overrun = over.overrun
    assert overrun is not None and (overrun.applied, overrun.skips) == (EARLY_EXIT, skips)
    for seq in range(1, skips + 1):
        paying = Job(0, seq, 200, 299)
        assert released(made, paying, 200) == (paying, Rule.OVERRUN)
    over = run(made, Job(0, 9, 400, 499), 400, 10, 20, 30)
    assert over.finished is not None and not over.early and over.overrun is None


def test_a_job_over_its_budget_before_its_exit_is_complete_runs_on_until_it_is() -> None:
    made = scheduler(EARLY_EXIT, 10, 20, 30, 40, exit_after=3)
    job = Job(0, 0, 0, 999)
    over = run(made, job, 0, 150)
    overrun = over.overrun
    assert over.finished is None
    assert overrun is not None and (overrun.applied, overrun.skips) == (EARLY_EXIT, 0)
    assert dispatched(made, 150) is job
    assert ended(made, 170, 20) == Ended()  # within its budget, and reported already
    assert dispatched(made, 170) is job
    over = ended(made, 200, 30)
    assert over.finished is job and over.early and job.step == 2
    overrun = over.overrun
    assert overrun is not None and (overrun.applied, overrun.used_ns, overrun.skips) == (
        EARLY_EXIT,
        200,
        1,
    )


def test_a_late_job_that_ends_at_its_exit_within_its_whole_budget_owes_nothing() -> None:
    made = scheduler(EARLY_EXIT, 10, 20, 30, exit_after=2)
    job = Job(0, 0, 0, 99)
    assert run(made, job, 0, 35).overrun is not None  # of the first segment
    assert dispatched(made, 35) is job
    over = ended(made, 55, 20)
    assert over.finished is job and over.early and over.overrun is None
    assert released(made, Job(0, 1, 100, 199), 100) is None


def test_a_late_job_that_has_caught_up_where_its_exit_is_complete_runs_to_its_end() -> None:
    made = scheduler(EARLY_EXIT, 10, 20, 30, exit_after=2)
    job = Job(0, 0, 0, 99)
    over = run(made, job, 0, 15, 15, 30)
    assert over.finished is job and not over.early and job.step == 2


def test_a_job_that_exceeds_its_budget_in_its_last_segment_alone_has_its_full_result() -> None:
    made = scheduler(EARLY_EXIT, 10, 20, exit_after=1)
    job = Job(0, 0, 0, 99)
    over = run(made, job, 0, 10, 25)
    overrun = over.overrun
    assert over.finished is job and not over.early
    assert overrun is not None and (overrun.applied, overrun.skips) == (None, 1)


def test_what_has_no_early_exit_runs_to_its_end() -> None:
    made = scheduler(EARLY_EXIT, 10, 20)
    job = Job(0, 0, 0, 99)
    over = run(made, job, 0, 25, 10)
    assert over.finished is job and not over.early
    overrun = over.overrun
    assert overrun is not None and (overrun.applied, overrun.skips) == (None, 1)


@pytest.mark.parametrize("exit_after", [-1, 2, 3])
def test_an_exit_that_is_no_earlier_than_the_end_is_refused(exit_after: int) -> None:
    with pytest.raises(ValueError, match="exit"):
        scheduler(EARLY_EXIT, 10, 20, exit_after=exit_after)


def test_others_wait_no_longer_for_a_simulated_job_that_leaves_early() -> None:
    tasks = [AnalysisTask("slow", (10, 10, 10), 1000, 1000), AnalysisTask("other", (5,), 100, 60)]
    jobs = Workload.of(
        np.array([0, 1], np.int64),
        np.array([0, 500], np.int64),
        np.array([0, 500], np.int64),
        [(495, 10, 10), (5,)],
    )
    plans = [plan_of(tasks[0], exit_after=1), plan_of(tasks[1])]
    left = simulate(tasks, jobs, on_overrun=[EARLY_EXIT, None], plans=plans)
    stayed = simulate(tasks, jobs, on_overrun=[SKIP_NEXT, None])
    assert (left.finished_ns.tolist(), left.busy_ns) == ([495, 505], 500)
    assert stayed.finished_ns[0] == 520


def test_a_demoted_job_runs_behind_everything_and_is_not_overtaken_by_its_own_task() -> None:
    made = scheduler(DEMOTE, 10, 20)
    demoted, waits = Job(0, 0, 0, 50), Job(0, 1, 5, 55)
    released(made, demoted, 0)
    assert dispatched(made, 0) is demoted
    released(made, waits, 5)
    late = Job(1, 0, 5, 10_000)
    released(made, late, 5)
    over = ended(made, 12, 12)
    assert over.finished is None and over.skipped == [(waits, Rule.OVERRUN)]
    assert over.overrun is not None and over.overrun.applied is DEMOTE
    assert dispatched(made, 12) is late
    newer = Job(0, 2, 20, 70)
    assert released(made, newer, 20) == (newer, Rule.OVERRUN)
    ended(made, 30)
    assert dispatched(made, 30) is demoted
    over = ended(made, 500, 470)
    assert over.finished is demoted
    assert over.overrun is not None and over.overrun.skips == 0  # taken from nobody
    assert released(made, Job(0, 3, 600, 650), 600) is None


@pytest.mark.parametrize("ended", ["failed", "removed", "shed"])
def test_a_demoted_job_that_ends_early_leaves_nothing_behind(ended: str) -> None:
    made = Scheduler(1)
    made.add_task(
        0,
        lane=0,
        plan=plan((10, 20)),
        on_overrun=DEMOTE,
        criticality=Criticality.LOW,
    )
    job = Job(0, 0, 0, 50)
    run(made, job, 0, 12)
    if ended == "failed":
        assert dispatched(made, 12) is job
        assert read(made.abandon(0, 20, 8)).skipped == [(job, Rule.RUN_FAILED)]
    elif ended == "removed":
        assert skips(made.remove(0)) == [(job, Rule.OPERATOR)]
        made.add_task(0, lane=0)
    else:
        assert read(made.shed(0)).skipped == [(job, Rule.CRITICALITY)]
        assert dispatched(made, 13) is None
    assert released(made, Job(0, 1, 100, 150), 100) is None


def test_a_job_that_fails_late_pays_like_any_other() -> None:
    made = scheduler(SKIP_NEXT, 30)
    released(made, Job(0, 0, 0, 99), 0)
    dispatched(made, 0)
    over = read(made.abandon(0, 100, 100))
    assert over.overrun is not None and over.overrun.skips == 3 and over.finished is None
    job = Job(0, 1, 100, 199)
    assert released(made, job, 100) == (job, Rule.OVERRUN)


def mixed() -> Scheduler:
    made = Scheduler(1)
    levels = (Criticality.HIGH, Criticality.LOW, Criticality.BEST_EFFORT)
    for task, level in enumerate(levels):
        made.add_task(
            task,
            lane=0,
            plan=plan((10,)),
            criticality=level,
            on_overrun=SKIP_NEXT,
            low=plan((10,)) if level is Criticality.HIGH else None,
        )
    return made


def test_a_critical_overrun_sheds_best_effort_then_low_until_the_lane_was_idle_once() -> None:
    made = mixed()
    high, low, rest = Job(0, 0, 0, 50), Job(1, 0, 0, 60), Job(2, 0, 0, 70)
    for job in (high, low, rest):
        released(made, job, 0)
    assert dispatched(made, 0) is high
    over = ended(made, 11, 11)
    assert over.finished is high and over.overrun is not None and over.overrun.sheds
    assert over.skipped == [(rest, Rule.CRITICALITY), (low, Rule.CRITICALITY)]
    refused = Job(1, 1, 12, 72)
    assert released(made, refused, 12) == (refused, Rule.CRITICALITY)
    assert dispatched(made, 13) is None and not made.shedding(0)
    assert released(made, Job(1, 2, 20, 80), 20) is None


@pytest.mark.parametrize("task", [1, 2])
def test_what_is_not_critical_sheds_nobody(task: int) -> None:
    made = mixed()
    released(made, Job(task, 0, 0, 50), 0)
    dispatched(made, 0)
    overrun = ended(made, 500, 500).overrun
    assert overrun is not None and not overrun.sheds and not made.shedding(0)


@given(
    st.sampled_from([(policy, 0) for policy in OverrunPolicy] + [(EARLY_EXIT, 1)]),
    st.lists(st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=60),
    st.integers(0, 40),
)
def test_no_task_gets_more_of_the_lane_in_the_long_run_than_its_budget(
    chosen: tuple[OverrunPolicy, int], times: list[tuple[int, int]], gap: int
) -> None:
    """Lane time at its own priority: a budget an arrival, the last debt, what nobody wanted."""
    made = scheduler(chosen[0], 10, 20, exit_after=chosen[1])
    used = debt = idle = 0
    now = 0
    for seq, parts in enumerate(times):
        job = Job(0, seq, now, now + 99)
        if released(made, job, now) is None:
            demoted = False
            debt = 0
            for part in parts:
                if dispatched(made, now) is None:
                    break
                now += part
                overrun = ended(made, now, part).overrun
                used += 0 if demoted else part
                if overrun is not None:
                    demoted |= overrun.applied is DEMOTE
                    debt = max(debt, overrun.skips)
        else:
            debt -= 1
        dispatched(made, now)  # the lane finds that there is nothing to do
        assert used <= 30 * (seq + 1 + max(0, debt)) + idle
        now += gap
        idle += gap


def test_a_network_ten_times_slower_than_its_profile_keeps_its_share_and_the_rest_recovers() -> (
    None
):
    tasks = [
        AnalysisTask("slow", (10 * MS,), 100 * MS, 100 * MS),
        AnalysisTask("other", (20 * MS,), 50 * MS, 50 * MS),
    ]
    slow = np.arange(0, 2000, 100, dtype=np.int64) * MS
    other = np.arange(0, 2000, 50, dtype=np.int64) * MS
    arrival = np.concatenate([slow, other])
    owner = np.repeat(np.array([0, 1], np.int64), [len(slow), len(other)])
    execution = [(100 * MS,)] * len(slow) + [(20 * MS,)] * len(other)
    jobs = Workload.of(owner, arrival, arrival, execution)
    held = simulate(tasks, jobs, on_overrun=[SKIP_NEXT, SKIP_NEXT], queue=1)
    free = simulate(tasks, jobs, queue=1)
    missed = [
        (outcome.finished_ns[jobs.task == 1] > outcome.deadline_ns[jobs.task == 1]).sum()
        + (outcome.finished_ns[jobs.task == 1] < 0).sum()
        for outcome in (held, free)
    ]
    ran = [(outcome.finished_ns[jobs.task == 0] >= 0).sum() for outcome in (held, free)]
    assert ran[0] == 2  # one in ten
    assert missed[0] <= 2 * ran[0] < missed[1]


@pytest.mark.parametrize("policy", OverrunPolicy)
def test_a_step_of_unknown_budget_may_take_any_time(policy: OverrunPolicy) -> None:
    made = scheduler(policy, 0, 20)
    made.stretch_budgets(0, 1.0, 8.0)
    over = run(made, Job(0, 0, 0, 99), 0, 1000, 20)
    assert over.finished is not None and over.overrun is None
    late = run(made, Job(0, 1, 2000, 2099), 2000, 1000, 21)
    assert late.overrun is not None and (late.overrun.step, late.overrun.skips) == (1, 0)
    assert released(made, Job(0, 2, 4000, 4099), 4000) is None
