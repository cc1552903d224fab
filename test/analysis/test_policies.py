"""What each policy promises, held to it by the simulator."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, TimeTable, assign, check_lane, check_policy
from aegis_ros.analysis.periodic import follow
from aegis_ros.analysis.policies import PolicyName
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Rule
from aegis_ros.scheduling import CwEdf, Table
from aegis_ros.simulation import (
    Outcome,
    Workload,
    periodic_arrivals,
    simulate,
    sporadic_arrivals,
)
from aegis_ros.spec import Criticality
from test.task_sets import periodic_sets, task_sets


def tasks_of(*budgets_and_periods: tuple[int, int]) -> list[AnalysisTask]:
    return [
        AnalysisTask(f"task{index}", (budget,), period, period)
        for index, (budget, period) in enumerate(budgets_and_periods)
    ]


def runs_of(table: TimeTable, tasks: list[AnalysisTask], jobs: Workload, switch: int) -> Outcome:
    ids = {task.name: index for index, task in enumerate(tasks)}
    return simulate(tasks, jobs, switch_ns=switch, policy=Table.of({0: table}, ids))


def jittered(tasks: list[AnalysisTask], until: int, seed: int, late: bool = False) -> Workload:
    """Periodic arrivals in phase; ready within the jitter, with execution up to the budget."""
    generator = np.random.default_rng(seed)
    plain = periodic_arrivals(tasks, until)
    most = np.array([task.jitter_ns for task in tasks])[plain.task]
    delay = most if late else generator.integers(0, most + 1)
    executions = [
        tuple(int(generator.integers(1, part + 1)) for part in parts)
        if generator.random() < 0.4
        else parts
        for parts in plain.execution_ns
    ]
    return Workload.of(plain.task, plain.arrival_ns, plain.arrival_ns + delay, executions)


@pytest.mark.parametrize(
    "tasks",
    [
        tasks_of((3, 10), (6, 12), (8, 60)),  # Nasri & Fohler 2016, figure 2
        tasks_of((1, 10), (8, 30), (17, 60)),  # the same, figure 1
    ],
)
def test_published_sets_that_need_idling_pass_under_cw_edf_and_not_under_edf(
    tasks: list[AnalysisTask],
) -> None:
    assert simulate(tasks, periodic_arrivals(tasks, 60)).missed.any()
    assert not check_lane(tasks).schedulable
    verdict, _ = check_policy(tasks, policy="cw_edf")
    assert verdict.schedulable and verdict.rule is Rule.CRITICAL_WINDOW
    assert "strictly periodically" in verdict.sentence
    assert not simulate(tasks, periodic_arrivals(tasks, 600), policy=CwEdf()).missed.any()


def test_a_set_that_needs_more_foresight_than_cw_edf_has_gets_a_table() -> None:
    tasks = tasks_of((8, 30), (19, 30), (1, 12))
    assert not check_policy(tasks, policy="cw_edf")[0].schedulable
    verdict, table = check_policy(tasks, policy="table")
    assert verdict.schedulable and verdict.rule is Rule.TABLE
    assert table is not None and table.method == "solved"
    assert not runs_of(table, tasks, jittered(tasks, 400, 1), 0).missed.any()


@given(periodic_sets(), st.integers(0, 2))
def test_following_tasks_in_phase_is_what_the_simulator_does(
    tasks: list[AnalysisTask], switch: int
) -> None:
    run = follow(tasks, switch_ns=switch)
    assume(run is not None)
    assert run is not None
    until = 3 * run.cycle_ns + run.late_end_ns
    outcome = simulate(
        tasks, periodic_arrivals(tasks, until), switch_ns=switch, policy=CwEdf(), keep_runs=True
    )
    if run.late:
        jobs = zip(outcome.workload.task, outcome.workload.arrival_ns, strict=True)
        ends = dict(zip(jobs, outcome.finished_ns.tolist(), strict=True))
        index = [task.name for task in tasks].index(run.late)
        assert ends[index, run.late_arrival_ns] == run.late_end_ns
        return
    assert not outcome.missed.any()
    assert outcome.worst_response_ns().tolist() == list(run.worst_ns)


@given(periodic_sets(), st.integers(0, 2), st.integers(0, 2**32))
def test_cw_edf_keeps_its_promise_with_any_execution_up_to_the_budget(
    tasks: list[AnalysisTask], switch: int, seed: int
) -> None:
    verdict, _ = check_policy(tasks, policy="cw_edf", switch_ns=switch)
    assume(verdict.schedulable)
    outcome = simulate(tasks, jittered(tasks, 1_500, seed), switch_ns=switch, policy=CwEdf())
    assert not outcome.missed.any()
    bounds = [bound.bound_ns for bound in verdict.responses]
    assert np.all(outcome.worst_response_ns() <= bounds)


@given(task_sets(), st.integers(0, 2), st.integers(0, 2**32))
def test_what_edf_passes_cw_edf_passes_for_every_sporadic_pattern(
    tasks: list[AnalysisTask], switch: int, seed: int
) -> None:
    plain = check_lane(tasks, switch_ns=switch)
    assume(plain.schedulable)
    verdict, _ = check_policy(tasks, policy="cw_edf", switch_ns=switch)
    assert verdict.schedulable and verdict.responses == plain.responses
    generator = np.random.default_rng(seed)
    for _ in range(2):
        jobs = sporadic_arrivals(tasks, 1_500, generator)
        outcome = simulate(tasks, jobs, switch_ns=switch, policy=CwEdf())
        assert not outcome.missed.any()
        bounds = [bound.bound_ns for bound in verdict.responses]
        assert np.all(outcome.worst_response_ns() <= bounds)


@given(periodic_sets(jitter=True), st.integers(0, 2), st.integers(0, 2**32))
def test_a_table_keeps_its_promise(tasks: list[AnalysisTask], switch: int, seed: int) -> None:
    verdict, table = check_policy(tasks, policy="table", switch_ns=switch)
    assume(verdict.schedulable)
    assert table is not None
    bounds = [bound.bound_ns for bound in verdict.responses]
    until = 3 * table.cycle_ns + 100
    for jobs in (jittered(tasks, until, seed), jittered(tasks, until, seed, late=True)):
        outcome = runs_of(table, tasks, jobs, switch)
        assert not outcome.missed.any() and not outcome.skipped.any()
        assert np.all(outcome.worst_response_ns() <= bounds)


@given(periodic_sets(jitter=True), st.integers(0, 2))
def test_places_of_a_table_never_overlap_and_hold_every_segment(
    tasks: list[AnalysisTask], switch: int
) -> None:
    _, table = check_policy(tasks, policy="table", switch_ns=switch)
    assume(table is not None)
    assert table is not None
    cycle = table.cycle_ns
    unrolled = sorted(
        (place.start_ns + shift, place.end_ns + shift)
        for place in table.places
        for shift in (0, cycle, 2 * cycle)
    )
    assert all(one[1] <= other[0] for one, other in pairwise(unrolled))
    for task in tasks:
        own = [place for place in table.places if place.task == task.name]
        assert len(own) == cycle // task.period_ns * len(task.segments_ns)
        for place in own:
            assert place.end_ns - place.start_ns == task.segments_ns[place.segment] + switch
            assert place.start_ns >= place.job * task.period_ns + task.jitter_ns
            assert place.end_ns <= place.job * task.period_ns + task.deadline_ns


@given(periodic_sets(jitter=True), st.integers(0, 2))
def test_what_edf_passes_has_a_table(tasks: list[AnalysisTask], switch: int) -> None:
    assume(check_lane(tasks, switch_ns=switch).schedulable)
    verdict, table = check_policy(tasks, policy="table", switch_ns=switch)
    assert verdict.schedulable and table is not None and table.method == "followed"


@given(periodic_sets(), st.integers(0, 2))
def test_what_cw_edf_passes_has_a_table(tasks: list[AnalysisTask], switch: int) -> None:
    verdict, _ = check_policy(tasks, policy="cw_edf", switch_ns=switch)
    assume(verdict.schedulable)
    assert check_policy(tasks, policy="table", switch_ns=switch)[0].schedulable


@given(
    periodic_sets(most=2),
    task_sets(most=2),
    st.integers(0, 2),
    st.integers(0, 2**32),
)
def test_best_effort_in_the_gaps_of_a_table_runs_and_makes_nobody_late(
    placed: list[AnalysisTask], others: list[AnalysisTask], switch: int, seed: int
) -> None:
    tasks = [
        *placed,
        *(
            AnalysisTask(
                f"event{index}",
                task.segments_ns,
                task.period_ns,
                task.deadline_ns,
                task.jitter_ns,
                Criticality.BEST_EFFORT,
            )
            for index, task in enumerate(others)
        ),
    ]
    verdict, table = check_policy(tasks, policy="table", switch_ns=switch)
    assume(verdict.schedulable)
    assert table is not None and table.event_triggered == tuple(
        t.name for t in tasks[len(placed) :]
    )
    generator = np.random.default_rng(seed)
    jobs = jittered(placed, 2_000, seed)
    events = sporadic_arrivals(tasks[len(placed) :], 2_000, generator)
    joined = Workload.of(
        np.concatenate([jobs.task, events.task + len(placed)]),
        np.concatenate([jobs.arrival_ns, events.arrival_ns]),
        np.concatenate([jobs.ready_ns, events.ready_ns]),
        [*jobs.execution_ns, *events.execution_ns],
    )
    outcome = runs_of(table, tasks, joined, switch)
    own = outcome.workload.task >= len(placed)
    assert not (outcome.missed | outcome.skipped)[~own].any()
    assert (outcome.finished_ns[own] >= 0).any()
    assert {bound.task for bound in verdict.responses} == {task.name for task in placed}


def test_best_effort_whose_segment_fits_in_no_gap_is_rejected_and_named() -> None:
    tasks = [
        *tasks_of((5, 10)),
        AnalysisTask("vlm", (6,), 100, 100, 0, Criticality.BEST_EFFORT),
    ]
    verdict, table = check_policy(tasks, policy="table")
    assert not verdict.schedulable and verdict.rule is Rule.TABLE and table is not None
    assert "vlm" in verdict.sentence


def test_best_effort_beside_a_lane_that_has_to_idle_under_cw_edf_is_rejected_and_named() -> None:
    tasks = tasks_of((3, 10), (6, 12), (8, 60))
    assert check_policy(tasks, policy="cw_edf")[0].schedulable
    tasks.append(AnalysisTask("vlm", (1,), 100, 100, 0, Criticality.BEST_EFFORT))
    verdict, _ = check_policy(tasks, policy="cw_edf")
    assert not verdict.schedulable and "vlm" in verdict.sentence and "table" in verdict.sentence


def test_a_cycle_that_is_too_long_is_a_limit_and_not_a_hang() -> None:
    tasks = [
        AnalysisTask("slow", (60_000_000,), 99_999_989, 200_000_000),
        AnalysisTask("fast", (10_000_000,), 100_000_007, 20_000_000),
    ]
    for policy in ("cw_edf", "table"):
        verdict, _ = check_policy(tasks, policy=policy)  # type: ignore[arg-type]
        assert not verdict.schedulable and verdict.rule is Rule.LIMIT
        assert "100 instead of 99.999989 ms for slow" in verdict.sentence
        assert "it is 100 ms long and no job is late" in verdict.sentence


@pytest.mark.parametrize("policy", ["cw_edf", "table"])
def test_periods_near_by_are_told_only_where_no_job_is_late_with_them(policy: PolicyName) -> None:
    tasks = [
        AnalysisTask("fast", (10_000_000,), 20_000_003, 20_000_003),
        AnalysisTask("slow", (30_000_000,), 99_999_989, 99_999_989),  # holds a lane too long
    ]
    verdict, _ = check_policy(tasks, policy=policy)
    assert not verdict.schedulable and verdict.rule is Rule.LIMIT
    assert "choose periods that divide each other" in verdict.sentence


def test_periods_near_by_leave_a_gap_for_those_outside_the_table() -> None:
    tasks = [
        AnalysisTask("fast", (8_000_000,), 20_000_003, 15_000_000),
        AnalysisTask("slow", (10_000_000,), 39_999_989, 39_999_989),
    ]
    beside = AnalysisTask("vlm", (3_000_000,), 10**9, 10**9, 0, Criticality.BEST_EFFORT)
    for longest, told in ((1_000_000, True), (13_000_000, False)):
        beside = AnalysisTask("vlm", (longest,), 10**9, 10**9, 0, Criticality.BEST_EFFORT)
        verdict, _ = check_policy([*tasks, beside], policy="table")
        assert verdict.rule is Rule.LIMIT
        assert ("instead of" in verdict.sentence) == told


def test_jitter_is_named_where_cw_edf_cannot_look_ahead() -> None:
    tasks = [
        AnalysisTask("fast", (3,), 10, 10),
        AnalysisTask("middle", (6,), 12, 12, 1),
        AnalysisTask("long", (8,), 60, 60),
    ]
    verdict, _ = check_policy(tasks, policy="cw_edf")
    assert not verdict.schedulable
    assert "middle" in verdict.sentence and "jitter" in verdict.sentence


def test_a_set_without_any_table_is_rejected_for_certain() -> None:
    tasks = [AnalysisTask("fast", (2,), 5, 5), AnalysisTask("slow", (7,), 20, 20)]
    verdict, table = check_policy(tasks, policy="table")
    assert not verdict.schedulable and verdict.rule is Rule.TABLE and table is None


def test_an_unknown_policy_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="rm"):
        check_policy(tasks_of((1, 10)), policy="rm")  # type: ignore[arg-type]


def test_lanes_are_filled_under_the_policy_that_is_asked_for() -> None:
    tasks = [
        *tasks_of((3, 10), (6, 12), (8, 60)),
        AnalysisTask("more", (3,), 10, 10),
    ]
    plain = assign(tasks, ["a", "b"])
    found = assign(tasks, ["a", "b"], policy="table")
    assert found.schedulable and found.policy == "table"
    assert set(found.tables) == set(found.lane_of.values())
    assert plain.policy == "edf" and not plain.tables


def test_importing_the_analysis_does_not_import_the_solver() -> None:
    import subprocess
    import sys

    code = "import sys, aegis_ros.analysis; sys.exit('ortools' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
