"""The longest step of best effort that a lane bears: one nanosecond more has a witness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from aegis_ros.analysis import (
    AnalysisTask,
    check_lane,
    check_modes,
    is_schedulable,
    longest_step,
    witness_schedule,
)
from aegis_ros.analysis.demand import MAX_POINTS, LaneLoad
from aegis_ros.scheduling import VirtualDeadlines
from aegis_ros.simulation import (
    Workload,
    bursty_arrivals,
    periodic_arrivals,
    plan_of,
    simulate,
    sporadic_arrivals,
)
from aegis_ros.spec import Criticality
from test.task_sets import sets_with_totals, task_sets

MS = 1_000_000


def step(longest: int, period: int = 1) -> AnalysisTask:
    """Work of best effort that never ends: as soon as a step is over, the next one waits."""
    return AnalysisTask("generator", (longest,), period, period, 0, Criticality.BEST_EFFORT)


@given(sets_with_totals(most=4), st.integers(0, 2), st.integers(0, 2**32))
def test_a_step_of_that_length_never_makes_a_promised_task_late(
    tasks: list[AnalysisTask], switch: int, seed: int
) -> None:
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None
    assume(found.longest_ns > switch)
    together = [*tasks, step(found.longest_ns - switch)]
    assert is_schedulable(together, switch_ns=switch)
    generator = np.random.default_rng(seed)
    offsets = [int(generator.integers(0, task.period_ns)) for task in together]
    for jobs in (
        periodic_arrivals(together, 500, offsets),
        bursty_arrivals(together, 500),
        sporadic_arrivals(together, 500, generator),
    ):
        outcome = simulate(together, jobs, switch_ns=switch)
        assert not (outcome.missed | outcome.skipped)[jobs.task < len(tasks)].any()


@given(sets_with_totals(most=4), st.integers(0, 2))
def test_a_step_one_nanosecond_longer_makes_one_late_in_the_pattern_of_the_witness(
    tasks: list[AnalysisTask], switch: int
) -> None:
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None
    assume(found.longest_ns >= max(1, switch))
    longer = step(found.longest_ns + 1 - switch)
    together = [*tasks, longer]
    verdict = check_lane(together, switch_ns=switch)
    assert not verdict.schedulable and found.witness is not None and verdict.witness is not None
    assert found.witness.slack_ns < 0
    assert found.task in {task.name for task in tasks}
    names = [task.name for task in together]
    pattern = witness_schedule(together, verdict.witness, switch_ns=switch)
    executions = []
    for item in pattern:
        task = together[names.index(item.task)]
        longest = task.segments_ns.index(max(task.segments_ns))
        blocks = item.task == verdict.witness.blocking_task
        executions.append(task.execution_ns(longest) if blocks else task.execution_ns())
    jobs = Workload.of(
        np.array([names.index(item.task) for item in pattern], np.int64),
        np.array([item.arrival_ns for item in pattern], np.int64),
        np.array([item.ready_ns for item in pattern], np.int64),
        executions,
    )
    outcome = simulate(together, jobs, switch_ns=switch)
    assert outcome.missed[jobs.task < len(tasks)].any()


@given(task_sets(most=4), st.integers(0, 2))
def test_it_is_the_least_time_that_demand_leaves_over_all_intervals(
    tasks: list[AnalysisTask], switch: int
) -> None:
    assume(is_schedulable(tasks, switch_ns=switch))
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None and found.witness is not None
    load = LaneLoad(tasks, switch)
    curve = load.curve(load.latest_ns + 5_000)
    left = curve.t_ns - curve.demand_ns
    assert found.longest_ns == int(left.min()) + 1
    assert found.witness.t_ns - found.witness.demand_ns == found.longest_ns - 1


@st.composite
def mixed_sets(draw: st.DrawFn) -> list[AnalysisTask]:
    """Sets of two criticalities whose tasks of the higher one may exceed their budgets."""
    tasks = []
    for index, task in enumerate(draw(task_sets(most=4))):
        if index % 2:
            tasks.append(replace(task, criticality=Criticality.LOW))
            continue
        factor = draw(st.integers(1, 3))
        tasks.append(replace(task, high_segments_ns=tuple(factor * p for p in task.segments_ns)))
    return tasks


@given(mixed_sets(), st.integers(0, 1), st.integers(0, 2**32))
def test_both_modes_bear_it_and_nothing_longer_passes(
    tasks: list[AnalysisTask], switch: int, seed: int
) -> None:
    found = longest_step(tasks, switch_ns=switch)
    assert found is not None
    assume(found.longest_ns > switch)
    together = [*tasks, step(found.longest_ns - switch)]
    modes = check_modes(together, switch_ns=switch)
    assert modes.verdict.schedulable
    event(f"drops: {bool(modes.sheds)}")
    longer = [*tasks, step(found.longest_ns - switch + 1)]
    assert not check_modes(longer, switch_ns=switch).verdict.schedulable
    generator = np.random.default_rng(seed)
    jobs = sporadic_arrivals(together, 500, generator)
    for index, task in enumerate(together):
        if task.high_segments_ns:
            factor = task.high_segments_ns[0] / task.segments_ns[0]
            jobs = jobs.with_overruns(index, factor, 0.3, generator)
    outcome = simulate(
        together,
        jobs,
        switch_ns=switch,
        policy=VirtualDeadlines(
            {index: modes.virtual_ns[t.name] for index, t in enumerate(together)
             if t.name in modes.virtual_ns}
        ),
        low={i: plan_of(t, switch) for i, t in enumerate(together) if t.high_segments_ns}
        if modes.sheds
        else None,
    )  # fmt: skip
    high = np.array([task.criticality is Criticality.HIGH for task in together], bool)
    assert not (outcome.missed | outcome.skipped)[high[jobs.task]].any()


def test_a_lane_without_deadlines_bears_any_step() -> None:
    assert longest_step([]) is None
    assert longest_step([step(90)]) is None


def test_a_lane_that_fails_by_itself_bears_none() -> None:
    full = AnalysisTask("full", (6,), 5, 50)
    found = longest_step([full])
    assert found is not None and (found.longest_ns, found.task) == (0, "full")
    late = AnalysisTask("late", (6,), 50, 5)
    found = longest_step([full, late])
    assert found is not None and found.longest_ns == 0


def test_other_best_effort_on_the_lane_does_not_matter() -> None:
    front = AnalysisTask("front", (3,), 10, 8)
    assert longest_step([front]) == longest_step([front, step(100)])


def test_the_witness_names_the_interval_and_whose_deadline_it_ends_with() -> None:
    detect = AnalysisTask("detect", (12 * MS,), 50 * MS, 45 * MS)
    depth = AnalysisTask("depth", (30 * MS,), 100 * MS, 100 * MS)
    found = longest_step([detect, depth], switch_ns=100_000)
    assert found is not None and found.witness is not None
    assert (found.longest_ns, found.task) == (32_900_001, "detect")
    assert found.witness.t_ns == 45 * MS and found.witness.demand_ns == 12_100_000


@pytest.mark.parametrize("count", [3, MAX_POINTS + 1])
def test_a_lane_with_too_many_steps_to_scan_gets_the_same_answer(count: int) -> None:
    # A deadline after so many periods has h step as often before it.
    tasks = [
        AnalysisTask("quick", (1,), 10, 10),
        AnalysisTask("slow", (3,), 10 * count, 10 * count),
    ]
    found = longest_step(tasks)
    assert found is not None and found.longest_ns == 10


def test_the_cost_of_a_switch_counts_for_the_step_too() -> None:
    front = AnalysisTask("front", (3,), 10, 8)
    found = longest_step([front], switch_ns=2)
    assert found is not None and found.longest_ns == 4
    assert is_schedulable([front, step(2)], switch_ns=2)
    assert not is_schedulable([front, step(3)], switch_ns=2)
