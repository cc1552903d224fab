"""The tests are judged by the simulator, and by themselves under change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane, is_schedulable
from aegis_ros.analysis.demand import LaneLoad, demand_at, qpa
from aegis_ros.rationale import Rule
from aegis_ros.simulation import critical_arrivals, periodic_arrivals, simulate, sporadic_arrivals
from test.task_sets import task_sets


@given(task_sets(), st.integers(0, 2**32), st.integers(0, 2))
def test_admitted_sets_never_miss_and_never_exceed_their_bounds(
    tasks: list[AnalysisTask], seed: int, switch: int
) -> None:
    verdict = check_lane(tasks, switch_ns=switch)
    assume(verdict.schedulable)
    bounds = [bound.bound_ns for bound in verdict.responses]
    generator = np.random.default_rng(seed)
    for arrivals in (
        periodic_arrivals(tasks, 2_000),
        sporadic_arrivals(tasks, 2_000, generator),
        sporadic_arrivals(tasks, 2_000, generator),
    ):
        for job in simulate(tasks, arrivals, switch_ns=switch):
            assert not job.missed
            assert job.response_ns <= bounds[job.task] <= tasks[job.task].deadline_ns


@given(task_sets(jitter=False, segments=False))
def test_every_rejected_non_preemptive_set_has_a_witness_that_misses(
    tasks: list[AnalysisTask],
) -> None:
    verdict = check_lane(tasks)
    assume(verdict.rule is Rule.DEMAND_BOUND and not verdict.schedulable)
    assert verdict.witness is not None
    records = simulate(tasks, critical_arrivals(tasks, verdict.witness))
    assert any(job.missed for job in records)


@given(task_sets())
def test_quick_analysis_agrees_with_the_plain_scan(tasks: list[AnalysisTask]) -> None:
    load = LaneLoad(tasks)
    assume(load.compare_to_one() < 0)
    end = max(load.last_point_ns() or 0, int(load.first.max()))
    curve = load.curve(end)
    assert (qpa(load, end) is None) == bool((curve.slack_ns >= 0).all())


@given(task_sets())
def test_the_curve_is_the_textbook_formula(tasks: list[AnalysisTask]) -> None:
    load = LaneLoad(tasks)
    curve = load.curve(int(load.first.max()) + 200)
    for t, demand, blocking in zip(curve.t_ns, curve.demand_ns, curve.blocking_ns, strict=True):
        assert demand == demand_at(load, int(t))
        later = [task.longest_ns() - 1 for task in tasks if task.deadline_ns - task.jitter_ns > t]
        assert blocking == max(later, default=0)


@given(task_sets(), st.data())
def test_more_load_never_turns_no_into_yes(tasks: list[AnalysisTask], data: st.DataObject) -> None:
    assume(not is_schedulable(tasks))
    index = data.draw(st.integers(0, len(tasks) - 1))
    task = tasks[index]
    harder = [
        replace(task, segments_ns=(task.segments_ns[0] + 1, *task.segments_ns[1:])),
        replace(task, deadline_ns=max(task.jitter_ns + 1, task.deadline_ns - 1)),
        replace(task, period_ns=max(1, task.period_ns - 1)),
        replace(task, jitter_ns=min(task.jitter_ns + 1, task.deadline_ns - 1)),
    ]
    for changed in harder:
        assert not is_schedulable([*tasks[:index], changed, *tasks[index + 1 :]])
    assert not is_schedulable([*tasks, AnalysisTask("more", (1,), 50, 50)])


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


@given(task_sets())
def test_both_entries_to_the_test_agree(tasks: list[AnalysisTask]) -> None:
    assert check_lane(tasks).schedulable == is_schedulable(tasks)
