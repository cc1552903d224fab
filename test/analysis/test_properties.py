"""The tests are judged by the simulator, and by themselves under change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane, is_schedulable, queue_needed
from aegis_ros.analysis.demand import LaneLoad, demand_at, qpa
from aegis_ros.rationale import Rule
from aegis_ros.simulation import (
    bursty_arrivals,
    critical_arrivals,
    periodic_arrivals,
    simulate,
    sporadic_arrivals,
)
from test.task_sets import task_sets


@given(task_sets(), st.integers(0, 2**32), st.integers(0, 2))
def test_admitted_sets_never_miss_and_never_exceed_their_bounds(
    tasks: list[AnalysisTask], seed: int, switch: int
) -> None:
    plain = check_lane(tasks, switch_ns=switch)
    assume(plain.schedulable)
    verdict = check_lane(tasks, switch_ns=switch, tight=True)
    bounds = np.array([bound.bound_ns for bound in verdict.responses])
    loose = np.array([bound.bound_ns for bound in plain.responses])
    assert np.all(bounds <= loose)
    assert np.all(loose <= [task.deadline_ns for task in tasks])
    generator = np.random.default_rng(seed)
    offsets = [int(generator.integers(0, task.period_ns)) for task in tasks]
    for workload in (
        periodic_arrivals(tasks, 2_000),
        periodic_arrivals(tasks, 2_000, offsets),
        bursty_arrivals(tasks, 2_000),
        sporadic_arrivals(tasks, 2_000, generator),
        sporadic_arrivals(tasks, 2_000, generator),
    ):
        outcome = simulate(tasks, workload, switch_ns=switch)
        assert not outcome.missed.any()
        assert np.all(outcome.worst_response_ns() <= bounds)


@given(task_sets(most=3), st.data())
def test_a_blocker_that_comes_one_tick_early_is_accounted_for(
    tasks: list[AnalysisTask], data: st.DataObject
) -> None:
    verdict = check_lane(tasks, tight=True)
    assume(verdict.schedulable)
    bounds = np.array([bound.bound_ns for bound in verdict.responses])
    for blocker in range(len(tasks)):
        starts = [
            data.draw(st.integers(0, 3)) if index == blocker else 1 + task.jitter_ns
            for index, task in enumerate(tasks)
        ]
        late = [starts[i] - (0 if i == blocker else t.jitter_ns) for i, t in enumerate(tasks)]
        outcome = simulate(tasks, periodic_arrivals(tasks, 1_000, late))
        assert not outcome.missed.any()
        assert np.all(outcome.worst_response_ns() <= bounds)


@given(task_sets(jitter=False, segments=False))
def test_every_rejected_non_preemptive_set_has_a_witness_that_misses(
    tasks: list[AnalysisTask],
) -> None:
    verdict = check_lane(tasks)
    assume(not verdict.schedulable and verdict.rule is not Rule.LIMIT)
    assert verdict.witness is not None and verdict.witness.slack_ns < 0
    assert simulate(tasks, critical_arrivals(tasks, verdict.witness)).missed.any()


@given(task_sets(jitter=False, segments=False, most=4))
def test_start_time_bounds_of_non_preemptive_sets_are_nearly_reached(
    tasks: list[AnalysisTask],
) -> None:
    verdict = check_lane(tasks, tight=True)
    assume(verdict.schedulable)
    seen = np.zeros(len(tasks), np.int64)
    until = max(task.deadline_ns for task in tasks) + 400
    for blocker in range(-1, len(tasks)):
        for victim in range(len(tasks)):
            for offset in range(0, tasks[victim].period_ns, 2):
                starts = [1] * len(tasks)
                starts[victim] = 1 + offset
                if blocker >= 0:
                    starts[blocker] = 0
                outcome = simulate(tasks, periodic_arrivals(tasks, until, starts))
                seen = np.maximum(seen, outcome.worst_response_ns())
    for bound, reached in zip(verdict.responses, seen.tolist(), strict=True):
        assert reached <= bound.bound_ns <= 2 * reached


@given(task_sets())
def test_quick_analysis_agrees_with_the_plain_scan(tasks: list[AnalysisTask]) -> None:
    assume(all(task.wcet_ns() <= task.deadline_ns for task in tasks))
    load = LaneLoad(tasks)
    assume(load.compare_to_one() < 0)
    end = load.horizon_ns()
    assert end is not None
    curve = load.curve(end)
    assert (qpa(load, end) is None) == bool((curve.slack_ns >= 0).all())


@given(task_sets(), st.integers(0, 400))
def test_no_interval_beyond_the_testing_set_can_fail(tasks: list[AnalysisTask], more: int) -> None:
    assume(is_schedulable(tasks))
    load = LaneLoad(tasks)
    end = load.horizon_ns()
    assert end is not None
    busy = load.busy_period_ns(int(load.q.max()))
    if busy is None or end < busy:  # otherwise a later interval could fail on paper alone
        assert bool((load.curve(end + more).slack_ns >= 0).all())


@given(task_sets())
def test_the_curve_is_the_textbook_formula(tasks: list[AnalysisTask]) -> None:
    load = LaneLoad(tasks)
    curve = load.curve(load.latest_ns + 200)
    for t, demand, blocking in zip(
        curve.t_ns.tolist(), curve.demand_ns.tolist(), curve.blocking_ns.tolist(), strict=True
    ):
        h = 0
        for task in tasks:
            jobs = (t + task.jitter_ns - task.deadline_ns) // task.period_ns + 1
            h += max(0, jobs) * task.wcet_ns()
        assert demand == h == demand_at(load, t)
        later = [task.longest_ns() - 1 for task in tasks if task.deadline_ns - task.jitter_ns > t]
        assert blocking == max(later, default=0)


@given(task_sets(), st.data())
def test_more_load_never_turns_no_into_yes(tasks: list[AnalysisTask], data: st.DataObject) -> None:
    assume(not is_schedulable(tasks))
    index = data.draw(st.integers(0, len(tasks) - 1))
    task = tasks[index]
    harder = [
        replace(task, segments_ns=(task.segments_ns[0] + 1, *task.segments_ns[1:])),
        replace(task, deadline_ns=max(1, task.deadline_ns - 1)),
        replace(task, period_ns=max(1, task.period_ns - 1)),
        replace(task, jitter_ns=task.jitter_ns + 1),
    ]
    for changed in harder:
        assert not is_schedulable([*tasks[:index], changed, *tasks[index + 1 :]])
    assert not is_schedulable([*tasks, AnalysisTask("more", (1,), 50, 50)])
    assert not is_schedulable(tasks, switch_ns=1)


@given(task_sets(), st.integers(2, 1_000_000))
def test_scaling_all_times_only_ever_makes_blocking_more_exact(
    tasks: list[AnalysisTask], factor: int
) -> None:
    scaled = [
        AnalysisTask(
            task.name,
            tuple(part * factor for part in task.segments_ns),
            task.period_ns * factor,
            task.deadline_ns * factor,
            task.jitter_ns * factor,
        )
        for task in tasks
    ]
    # B is q - 1 tick: a finer tick blocks longer, so only this direction holds exactly.
    if is_schedulable(scaled):
        assert is_schedulable(tasks)


@given(task_sets(), st.integers(0, 2))
def test_both_entries_to_the_test_agree(tasks: list[AnalysisTask], switch: int) -> None:
    yes = check_lane(tasks, switch_ns=switch).schedulable
    assert yes == is_schedulable(tasks, switch_ns=switch)
    assert yes == check_lane(tasks, switch_ns=switch, tight=True).schedulable


@given(task_sets(), st.integers(0, 2**32))
def test_no_job_is_displaced_from_a_queue_of_the_needed_length(
    tasks: list[AnalysisTask], seed: int
) -> None:
    verdict = check_lane(tasks, tight=True)
    assume(verdict.schedulable)
    queues = [
        queue_needed(task, bound.bound_ns)
        for task, bound in zip(tasks, verdict.responses, strict=True)
    ]
    generator = np.random.default_rng(seed)
    for workload in (bursty_arrivals(tasks, 2_000), sporadic_arrivals(tasks, 2_000, generator)):
        assert not simulate(tasks, workload, queue=queues).skipped.any()
