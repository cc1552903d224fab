"""A generator takes its buckets as outcomes ask for them, and only the time nobody else wants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, longest_step
from aegis_ros.scheduling import GeneratorPlan, Job, Scheduler, SegmentPlan
from aegis_ros.simulation import (
    Outcome,
    Workload,
    periodic_arrivals,
    plan_of,
    simulate,
    sporadic_arrivals,
)
from aegis_ros.spec import Criticality, OverrunPolicy
from test.scheduling.lane import dispatched, ended, read, released
from test.task_sets import task_sets

BEST = Criticality.BEST_EFFORT
# Chunks of 2 and 4 tokens in one and two parts, a decode in three.
PLAN = GeneratorPlan((5, 4, 4, 2, 2, 3), (0, 1, 3), 2)


def generator(plan: GeneratorPlan) -> AnalysisTask:
    return AnalysisTask("generator", plan.budgets_ns, 1, 1, 0, BEST)


def once(task: int, plan: GeneratorPlan) -> Workload:
    """One job that takes the whole budget of every part."""
    at = np.zeros(1, np.int64)
    return Workload.of(np.array([task], np.int64), at, at, [plan.budgets_ns])


def path(plan: GeneratorPlan, outcomes: list[object]) -> list[int]:
    """Return the steps of a job whose steps have these outcomes."""
    steps: list[int] = []
    following: int | None = plan.first()
    for outcome in outcomes:
        assert following is not None
        steps.append(following)
        following = plan.after(following, outcome)
    assert following is None
    return steps


def test_an_answer_goes_through_chunks_of_its_prompt_and_then_decodes_until_it_ends() -> None:
    outcomes = [1, 1, 2, 2, 2, 2, 2, 2, None]
    assert path(PLAN, outcomes) == [0, 1, 2, 3, 4, 5, 3, 4, 5]


def test_a_prompt_that_joins_is_prefilled_between_two_decodes() -> None:
    assert path(PLAN, [2, 2, 2, 0, 2, 2, 2, None]) == [0, 3, 4, 5, 0, 3, 4, 5]


@pytest.mark.parametrize("cut", range(1, 7))
def test_an_answer_that_is_cancelled_ends_with_the_part_that_runs(cut: int) -> None:
    outcomes: list[object] = [1, 1, 2, 2, 2, 2]
    assert len(path(PLAN, [*outcomes[: cut - 1], None])) == cut


@pytest.mark.parametrize("outcome", [-1, 3, 10**9])
def test_an_outcome_that_names_no_bucket_is_an_error(outcome: int) -> None:
    with pytest.raises(ValueError, match=f"names bucket {outcome} of 3"):
        PLAN.after(5, outcome)


@pytest.mark.parametrize("outcome", ["2", 2.0, b"x", object()])
def test_an_outcome_that_is_no_number_is_an_error(outcome: object) -> None:
    with pytest.raises(TypeError):
        PLAN.after(5, outcome)


@pytest.mark.parametrize(
    ("budgets", "begins", "prefills"),
    [
        ((1, 1), (), 1),
        ((1, 1), (1,), 1),
        ((1, 1), (0, 2), 1),
        ((1, 1, 1), (0, 1, 1), 1),
        ((1, 1, 1), (0, 2, 1), 1),
        ((1, 1), (0, 1), 0),
        ((1, 1), (0, 1), 2),
        ((), (0,), 1),
    ],
)
def test_buckets_that_do_not_divide_the_steps_are_refused(
    budgets: tuple[int, ...], begins: tuple[int, ...], prefills: int
) -> None:
    with pytest.raises(ValueError, match="buckets"):
        GeneratorPlan(budgets, begins, prefills)


# -- in the scheduler -----------------------------------------------------------------------------


def scheduler(*, total_ns: int = 0, policy: OverrunPolicy | None = None) -> Scheduler:
    made = Scheduler(1)
    plan = GeneratorPlan(PLAN.budgets_ns, PLAN.begins, PLAN.prefills, total_ns)
    made.add_task(0, lane=0, plan=plan, criticality=BEST, on_overrun=policy)
    return made


def test_an_answer_that_exceeds_a_budget_keeps_the_text_it_has() -> None:
    made = scheduler(policy=OverrunPolicy.EARLY_EXIT)
    job = Job(0, 0, 0, 0)
    released(made, job, 0)
    assert dispatched(made, 0) is job
    over = read(made.step_done(0, 9, 9, 2))  # 5 were allowed; there is no text yet
    assert over.overrun is not None and over.finished is None
    assert dispatched(made, 9) is job and job.step == 3
    assert read(made.step_done(0, 11, 2, 2)).finished is job  # the first decode has begun


def test_an_answer_that_catches_up_with_its_budgets_goes_on() -> None:
    made = scheduler(policy=OverrunPolicy.EARLY_EXIT)
    job = Job(0, 0, 0, 0)
    released(made, job, 0)
    dispatched(made, 0)
    made.step_done(0, 6, 6, 1)  # one more than allowed
    for outcome in (1, 2, 2):
        assert dispatched(made, 6) is job
        assert not read(made.step_done(0, 7, 1, outcome)).finished
    assert dispatched(made, 20) is job and job.step == 4


def test_what_runs_it_may_name_nonsense_and_only_its_job_is_lost() -> None:
    made = scheduler()
    job = Job(0, 0, 0, 0)
    released(made, job, 0)
    dispatched(made, 0)
    with pytest.raises(ValueError, match="bucket 7"):
        made.step_done(0, 5, 5, 7)
    assert read(made.abandon(0, 5)).dropped == (job,)
    released(made, Job(0, 1, 0, 0), 6)
    assert dispatched(made, 6) is not None


def test_others_of_best_effort_have_their_turns_between_its_tokens() -> None:
    made = scheduler()
    made.add_task(1, lane=0, plan=SegmentPlan(2, (1, 1)), criticality=BEST)
    answer = Job(0, 0, 0, 0)
    released(made, answer, 0)
    order = []
    for at in range(0, 60, 2):
        if at % 20 == 4:
            released(made, Job(1, at, 0, 0), at)
        job = dispatched(made, at)
        assert job is not None
        order.append("g" if job is answer else "o")
        made.step_done(0, at + 1, 0, 2)
    # A chunk and a decode, then whole decodes: who comes meanwhile waits for the end of one.
    turns = [4, 2, 9, 2, 6, 2, 5]
    expected = "".join("go"[number % 2] * length for number, length in enumerate(turns))
    assert "".join(order) == expected


def test_a_younger_job_of_its_own_never_overtakes_an_answer() -> None:
    made = scheduler()
    first, second = Job(0, 0, 0, 0), Job(0, 1, 0, 0)
    released(made, first, 0)
    assert dispatched(made, 0) is first
    released(made, second, 1)
    for at in range(2, 20):
        made.step_done(0, at, 0, 2)
        assert dispatched(made, at) is first
    made.step_done(0, 21, 0, None)
    assert dispatched(made, 21) is second


def test_a_generator_that_was_demoted_waits_its_turn_as_well() -> None:
    made = Scheduler(1)
    made.add_task(0, lane=0, plan=PLAN, on_overrun=OverrunPolicy.DEMOTE)
    made.add_task(1, lane=0, criticality=BEST)
    answer, other = Job(0, 0, 0, 100), Job(1, 0, 0, 0)
    released(made, answer, 0)
    dispatched(made, 0)
    made.step_done(0, 9, 9, 2)
    for at in range(10, 13):
        assert dispatched(made, at) is answer
        if at == 11:
            released(made, other, at)
        made.step_done(0, at, 1, 2)
    assert dispatched(made, 13) is other
    ended(made, 14)
    assert dispatched(made, 14) is answer


# -- under the virtual clock ----------------------------------------------------------------------


@st.composite
def plans_within(draw: st.DrawFn, longest: int) -> GeneratorPlan:
    """Buckets of which no part takes longer than that, one reaching it."""
    part = st.integers(1, longest)
    buckets = draw(st.lists(st.lists(part, min_size=1, max_size=3), min_size=2, max_size=5))
    buckets[draw(st.integers(0, len(buckets) - 1))][0] = longest
    budgets = tuple(part for bucket in buckets for part in bucket)
    begins = tuple(sum(map(len, buckets[:at])) for at in range(len(buckets)))
    return GeneratorPlan(budgets, begins, draw(st.integers(1, len(buckets) - 1)))


def endless(answer: int, until: int, buckets: int, seed: int) -> Callable[[int, int, int], object]:
    """Outcomes of an answer by chance; after so many steps it ends, in a bucket or between two."""
    chance = np.random.default_rng(seed)
    left = [until]

    def outcome(job: int, step: int, now_ns: int) -> object:
        if job != answer:
            return None
        left[0] -= 1
        return int(chance.integers(0, buckets)) if left[0] > 0 else None

    return outcome


def run_beside(
    tasks: list[AnalysisTask], plan: GeneratorPlan, jobs: Workload, seed: int, switch: int = 0
) -> Outcome:
    """Run tasks beside a generator that always has something to say."""
    bare = [max(1, part - switch) for part in plan.budgets_ns]
    together = [*tasks, generator(replace_budgets(plan, bare))]
    jobs = jobs.beside(once(0, replace_budgets(plan, bare)), len(tasks))
    (answer,) = np.nonzero(jobs.task == len(tasks))[0]
    return simulate(
        together,
        jobs,
        switch_ns=switch,
        plans=[*(plan_of(task, switch) for task in tasks), plan],
        outcome_of=endless(int(answer), 200, len(plan.begins), seed),
        keep_runs=True,
    )


def replace_budgets(plan: GeneratorPlan, budgets: list[int]) -> GeneratorPlan:
    return GeneratorPlan(tuple(budgets), plan.begins, plan.prefills)


@given(task_sets(most=4), st.integers(0, 1), st.integers(0, 2**32), st.data())
def test_critical_tasks_never_miss_beside_a_saturated_generator(
    tasks: list[AnalysisTask], switch: int, seed: int, data: st.DataObject
) -> None:
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None
    assume(found.longest_ns > switch)
    plan = data.draw(plans_within(found.longest_ns))
    plan = replace_budgets(plan, [max(1 + switch, part) for part in plan.budgets_ns])
    jobs = sporadic_arrivals(tasks, 500, np.random.default_rng(seed))
    outcome = run_beside(tasks, plan, jobs, seed, switch)
    promised = outcome.workload.task < len(tasks)
    assert not (outcome.missed | outcome.skipped)[promised].any()


@given(task_sets(most=3), st.integers(0, 2**32), st.data())
def test_a_generator_never_waits_while_there_is_slack(
    tasks: list[AnalysisTask], seed: int, data: st.DataObject
) -> None:
    plan = data.draw(plans_within(4))
    jobs = sporadic_arrivals(tasks, 300, np.random.default_rng(seed))
    outcome = run_beside(tasks, plan, jobs, seed)
    who = outcome.workload.task
    (answer,) = np.nonzero(who == len(tasks))[0]
    end = int(outcome.finished_ns[answer])
    assert end > 0
    # From its release to its end the lane works on, and on it wherever nobody else is ready.
    runs = [run for run in outcome.runs if run.start_ns < end]
    assert sum(run.end_ns - run.start_ns for run in runs) == end
    for run in runs:
        ready = (outcome.workload.ready_ns <= run.start_ns) & (outcome.finished_ns > run.start_ns)
        assert (run.job == answer) == (not ready[who < len(tasks)].any())


@given(st.integers(1, 30), st.integers(0, 2**32), st.data())
def test_who_waits_in_line_is_served_after_one_bucket(
    length: int, seed: int, data: st.DataObject
) -> None:
    plan = data.draw(plans_within(5))
    caption = AnalysisTask("caption", (length,), 100, 100, 0, BEST)
    jobs = periodic_arrivals([caption], 1_000)
    outcome = run_beside([caption], plan, jobs, seed)
    longest = max(
        sum(plan.budgets_ns[begin:end])
        for begin, end in zip(plan.begins, [*plan.begins[1:], plan.steps], strict=True)
    )
    # A chunk is followed by others in the same turn as long as they come later in the menu.
    turn = longest * len(plan.begins)
    for job in np.nonzero(outcome.workload.task == 0)[0]:
        assert 0 <= outcome.started_ns[job] - outcome.workload.ready_ns[job] <= turn


@given(task_sets(most=3), st.integers(1, 40), st.integers(0, 2**32), st.data())
def test_the_lane_is_free_of_a_cancelled_answer_after_one_step(
    tasks: list[AnalysisTask], cancelled_in: int, seed: int, data: st.DataObject
) -> None:
    plan = data.draw(plans_within(4))
    jobs = periodic_arrivals(tasks, 100).beside(once(0, plan), len(tasks))
    (answer,) = np.nonzero(jobs.task == len(tasks))[0]
    outcome = simulate(
        [*tasks, generator(plan)],
        jobs,
        plans=[*(plan_of(task) for task in tasks), plan],
        outcome_of=endless(int(answer), cancelled_in, len(plan.begins), seed),
        keep_runs=True,
    )
    assert sum(run.job == answer for run in outcome.runs) == cancelled_in
