"""The tests are judged by the simulator, and by themselves under change.

A long run with millions of simulated jobs, which says in the end how many they were::

    pytest --hypothesis-profile=long --timeout=0 -s test/analysis/test_properties.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import lcm

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aegis_ros.analysis import (
    AnalysisTask,
    assign,
    check_lane,
    counterfactuals,
    is_schedulable,
    queue_needed,
)
from aegis_ros.analysis.demand import LaneLoad, demand_at, qpa
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Counterfactual, Rule
from aegis_ros.scheduling import Policy
from aegis_ros.simulation import (
    Outcome,
    Workload,
    bursty_arrivals,
    critical_arrivals,
    periodic_arrivals,
    simulate,
    sporadic_arrivals,
)
from test.analysis.ties import LosesTies
from test.task_sets import task_sets

_LONGEST_NS = 10**16


class Judge:
    """The simulator, counting what it was asked."""

    def __init__(self) -> None:
        self.jobs = 0
        self.until_ns = 20_000 if settings.get_current_profile_name() == "long" else 2_000

    def run(
        self,
        tasks: list[AnalysisTask],
        workload: Workload,
        switch: int = 0,
        policy: Policy | None = None,
    ) -> Outcome:
        self.jobs += len(workload)
        return simulate(tasks, workload, switch_ns=switch, policy=policy)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    judge = Judge()
    yield judge
    print(f"\n{judge.jobs:,} jobs were simulated")


@given(task_sets(), st.integers(0, 2**32), st.integers(0, 2))
def test_admitted_sets_never_miss_and_never_exceed_their_bounds(
    judge: Judge, tasks: list[AnalysisTask], seed: int, switch: int
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
    until = judge.until_ns
    for workload in (
        periodic_arrivals(tasks, until),
        periodic_arrivals(tasks, until, offsets),
        bursty_arrivals(tasks, until),
        sporadic_arrivals(tasks, until, generator),
        sporadic_arrivals(tasks, until, generator),
    ):
        outcome = judge.run(tasks, workload, switch)
        assert not outcome.missed.any()
        assert np.all(outcome.worst_response_ns() <= bounds)


@given(task_sets(most=4), st.integers(0, 2), st.integers(0, 3))
def test_segments_begun_just_before_all_others_come_are_accounted_for(
    judge: Judge, tasks: list[AnalysisTask], switch: int, slip: int
) -> None:
    verdict = check_lane(tasks, switch_ns=switch, tight=True)
    assume(verdict.schedulable)
    bounds = np.array([bound.bound_ns for bound in verdict.responses])
    for blocker, task in enumerate(tasks):
        for index in range(len(task.segments_ns)):
            begun = sum(task.segments_ns[:index]) + switch * index + slip
            workload = burst_at(tasks, begun, judge.until_ns // 2, blocker)
            outcome = judge.run(tasks, workload, switch)
            assert not outcome.missed.any()
            assert np.all(outcome.worst_response_ns() <= bounds)


def burst_at(tasks: list[AnalysisTask], start: int, until: int, blocker: int) -> Workload:
    """All but one become ready together, as late as jitter allows; that one came at 0."""
    task, arrival, ready = [], [], []
    for index, each in enumerate(tasks):
        late = 0 if index == blocker else start
        own = np.arange(0 if index == blocker else start - each.jitter_ns, until, each.period_ns)
        task.append(np.full(own.size, index))
        arrival.append(own)
        ready.append(np.maximum(own, late))
    owner = np.concatenate(task)
    return Workload.of(
        owner,
        np.concatenate(arrival),
        np.concatenate(ready),
        [tasks[index].segments_ns for index in owner.tolist()],
    )


@given(task_sets(), st.integers(0, 2))
def test_every_rejected_set_has_a_witness_that_misses(
    judge: Judge, tasks: list[AnalysisTask], switch: int
) -> None:
    verdict = check_lane(tasks, switch_ns=switch)
    assume(not verdict.schedulable and verdict.rule is not Rule.LIMIT)
    assert verdict.witness is not None and verdict.witness.slack_ns < 0
    pattern = critical_arrivals(tasks, verdict.witness, switch_ns=switch)
    late = judge.run(tasks, pattern, switch).missed
    assert late.any()


@given(task_sets(jitter=False, most=3))
def test_start_time_bounds_without_jitter_are_reached(
    judge: Judge, tasks: list[AnalysisTask]
) -> None:
    verdict = check_lane(tasks, tight=True)
    assume(verdict.schedulable)
    longest = max(task.wcet_ns() for task in tasks)
    busy = LaneLoad(tasks).busy_period_ns(longest)
    assume(busy is not None and busy < 150)
    for victim, bound in enumerate(verdict.responses):
        found = tasks[victim].wcet_ns()
        for blocker in range(-1, len(tasks)):
            begun = 1
            if blocker >= 0:
                parts = tasks[blocker].segments_ns
                begun += sum(parts[: parts.index(max(parts))])
            for offset in range(tasks[victim].period_ns):
                starts = [0 if index == blocker else begun for index in range(len(tasks))]
                starts[victim] = begun + offset
                if found < bound.bound_ns:
                    pattern = periodic_arrivals(tasks, 250, starts)
                    outcome = judge.run(tasks, pattern, policy=LosesTies(victim))
                    found = max(found, int(outcome.worst_response_ns()[victim]))
        assert found == bound.bound_ns


@given(task_sets(most=4), st.integers(1, 10**12), st.integers(0, 2**32))
def test_start_time_bounds_are_the_textbook_formula_in_whole_numbers(
    tasks: list[AnalysisTask], factor: int, seed: int
) -> None:
    odd = np.random.default_rng(seed)
    fine = [
        replace(
            task,
            segments_ns=tuple(part * factor for part in task.segments_ns),
            period_ns=task.period_ns * factor + int(odd.integers(0, factor)),
            deadline_ns=task.deadline_ns * factor + int(odd.integers(0, factor)),
            jitter_ns=task.jitter_ns * factor,
        )
        for task in tasks
    ]
    assume(is_schedulable(fine))
    loose = check_lane(fine).responses
    for index, bound in enumerate(check_lane(fine, tight=True).responses):
        worst = worst_start_time(fine, index)
        assert bound.bound_ns in (min(worst, loose[index].bound_ns), loose[index].bound_ns)
        if factor < 10**9:  # every horizon is then far below the 52 days of exact division
            assert bound.bound_ns == min(worst, loose[index].bound_ns)


def worst_start_time(tasks: list[AnalysisTask], index: int) -> int:
    """R_i = max over a of L + last_i - a, over all steps of h within the longest busy interval."""
    load = LaneLoad(tasks)
    busy = load.busy_period_ns(int(load.q.max()))
    assume(busy is not None)  # it has no end on a full lane
    assert busy is not None
    own = tasks[index]
    last = own.segments_ns[-1]
    worst = own.wcet_ns() + own.jitter_ns
    for t in load.curve(busy + int(load.d.max())).t_ns.tolist():
        if t < own.deadline_ns - own.jitter_ns:
            continue
        jobs = {
            task.name: max(0, (t - task.deadline_ns + task.jitter_ns) // task.period_ns + 1)
            for task in tasks
        }
        later = [task.longest_ns() - 1 for task in tasks if task.deadline_ns - task.jitter_ns > t]
        fixed = max(later, default=0) + jobs[own.name] * own.wcet_ns() - last
        start, before = fixed, -1
        while start != before:
            before = start
            start = fixed + sum(
                min(jobs[task.name], (before + task.jitter_ns) // task.period_ns + 1)
                * task.wcet_ns()
                for task in tasks
                if task is not own
            )
        worst = max(worst, start + last - (t - own.deadline_ns))
    return worst


@given(task_sets())
def test_quick_analysis_agrees_with_the_plain_scan(tasks: list[AnalysisTask]) -> None:
    assume(all(task.wcet_ns() <= task.deadline_ns for task in tasks))
    load = LaneLoad(tasks)
    assume(load.compare_to_one() <= 0)
    end = load.horizon_ns()
    assert end is not None
    curve = load.curve(end)
    failed = qpa(load, end)
    assert (failed is None) == bool((curve.slack_ns >= 0).all())
    if failed is not None:
        assert demand_at(load, failed) + int(load.blocking_at(np.array([failed]))[0]) > failed


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
    for parts in range(2, len(task.segments_ns) + 1):  # longer segments block longer
        joined = (sum(task.segments_ns[:parts]), *task.segments_ns[parts:])
        harder.append(replace(task, segments_ns=joined))
    for changed in harder:
        assert not is_schedulable([*tasks[:index], changed, *tasks[index + 1 :]])
    assert not is_schedulable([*tasks, AnalysisTask("more", (1,), 50, 50)])
    assert not is_schedulable(tasks, switch_ns=1)


@given(task_sets(), st.integers(2, 1_000_000))
def test_scaling_all_times_changes_nothing_beyond_the_last_tick(
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
    fine, coarse = check_lane(scaled), check_lane(tasks)
    # A segment blocks for its length less one tick, and a tick is longer in the coarser set.
    if fine.schedulable:
        assert coarse.schedulable
    if coarse.schedulable:
        assert coarse.witness is not None
        assert fine.schedulable or coarse.witness.slack_ns == 0
    if not fine.schedulable and fine.rule is not Rule.DEMAND_BOUND:
        assert not coarse.schedulable and coarse.rule is fine.rule


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


@given(st.data(), st.integers(1, 5))
def test_a_lane_that_is_used_to_exactly_all_of_it_is_decided(
    judge: Judge, data: st.DataObject, count: int
) -> None:
    periods = [data.draw(st.sampled_from([4, 6, 8, 10, 12, 15, 20, 24])) for _ in range(count)]
    cycle = lcm(*periods)
    left = cycle
    tasks = []
    for index, period in enumerate(periods):
        share = cycle // period
        most = left // share - (count - 1 - index)
        assume(most >= 1)
        budget = most if index == count - 1 else data.draw(st.integers(1, most))
        left -= budget * share
        deadline = data.draw(st.integers(period, 3 * period))
        tasks.append(AnalysisTask(f"task{index}", (budget,), period, max(budget, deadline)))
    assume(left == 0)
    verdict = check_lane(tasks)
    assert verdict.utilization == pytest.approx(1.0)
    assert verdict.rule is not Rule.LIMIT and verdict.rule is not Rule.UTILIZATION
    if verdict.schedulable:
        pattern = periodic_arrivals(tasks, 3 * cycle)
    else:
        assert verdict.witness is not None
        pattern = critical_arrivals(tasks, verdict.witness)
    assert judge.run(tasks, pattern).missed.any() != verdict.schedulable


@given(st.lists(st.integers(10**12, 10**15), min_size=2, max_size=6), st.integers(0, 2**32))
def test_periods_whose_common_multiple_overflows_get_an_answer(
    periods: list[int], seed: int
) -> None:
    shares = np.random.default_rng(seed).dirichlet(np.ones(len(periods)))
    tasks = [
        AnalysisTask(f"task{index}", (max(1, int(share * period)),), period, 2 * period)
        for index, (period, share) in enumerate(zip(periods, shares, strict=True))
    ]
    verdict = check_lane(tasks)
    assert verdict.schedulable == is_schedulable(tasks)
    assert verdict.schedulable or verdict.rule is Rule.LIMIT or verdict.witness is not None


@pytest.mark.parametrize("budget", [1, _LONGEST_NS // 2, _LONGEST_NS])
@pytest.mark.parametrize("period", [1, 7, _LONGEST_NS])
def test_times_at_the_ends_of_their_range_get_an_answer(budget: int, period: int) -> None:
    tasks = [
        AnalysisTask("long", (budget,), _LONGEST_NS, _LONGEST_NS),
        AnalysisTask("other", (1,), period, _LONGEST_NS),
    ]
    verdict = check_lane(tasks)
    assert verdict.schedulable == is_schedulable(tasks)
    assert not verdict.schedulable or verdict.utilization <= 1.0


def test_five_thousand_tasks_are_decided() -> None:
    tasks = [
        AnalysisTask(f"task{index}", (1_000,), 10_000_000 + 997 * index, 9_000_000 + 13 * index)
        for index in range(5_000)
    ]
    assert check_lane(tasks).schedulable
    assert not check_lane([*tasks, AnalysisTask("more", (6_000_000,), 10**8, 10**8)]).schedulable


@pytest.mark.parametrize(
    ("field", "value", "segments", "period", "deadline", "jitter"),
    [
        ("period_ns", 0, (1,), 0, 5, 0),
        ("period_ns", -3, (1,), -3, 5, 0),
        ("period_ns", 2**63, (1,), 2**63, 5, 0),
        ("deadline_ns", 0, (1,), 5, 0, 0),
        ("deadline_ns", 2**80, (1,), 5, 2**80, 0),
        ("jitter_ns", -1, (1,), 5, 5, -1),
        ("segments_ns", (), (), 5, 5, 0),
        ("segments_ns[1]", 0, (1, 0), 5, 5, 0),
    ],
)
def test_a_time_out_of_range_is_refused_by_its_name(
    field: str, value: object, segments: tuple[int, ...], period: int, deadline: int, jitter: int
) -> None:
    with pytest.raises(ConfigError) as refused:
        AnalysisTask("camera", segments, period, deadline, jitter)
    assert refused.value.where == f"camera.{field}"
    assert refused.value.value == str(value)


def test_an_empty_lane_is_schedulable_and_a_name_taken_twice_is_refused() -> None:
    assert check_lane([]).schedulable and is_schedulable([])
    task = AnalysisTask("camera", (1,), 5, 5)
    with pytest.raises(ConfigError, match=r"taken by tasks\[0\]"):
        check_lane([task, task])


@given(task_sets(most=4, segments=False), st.integers(1, 2))
def test_every_counterfactual_is_enough_by_itself(tasks: list[AnalysisTask], count: int) -> None:
    large = [
        replace(
            task,
            segments_ns=tuple(part * 10**6 for part in task.segments_ns),
            period_ns=task.period_ns * 10**6,
            deadline_ns=task.deadline_ns * 10**6,
            jitter_ns=task.jitter_ns * 10**6,
        )
        for task in tasks
    ]
    lanes = ["first", "second"][:count]
    assume(not assign(large, lanes).schedulable)
    for change in counterfactuals(large, large[-1].name, lanes):
        assert assign(changed_by(change, large), lanes).schedulable, change


def changed_by(change: Counterfactual, tasks: list[AnalysisTask]) -> list[AnalysisTask]:
    """Do what the sentence says."""
    last = tasks[-1]
    value = round(change.value * 1e6)
    match change.change:
        case "drop":
            return [task for task in tasks if task.name not in change.task.split(", ")]
        case "period_ms":
            moved = value if last.deadline_ns == last.period_ns else last.deadline_ns
            last = replace(last, period_ns=value, deadline_ns=moved)
        case "deadline_ms":
            last = replace(last, deadline_ns=value)
        case "wcet_ms":
            last = replace(last, segments_ns=(value,))
        case "segments":
            parts = int(change.value)
            last = replace(last, segments_ns=(-(-sum(last.segments_ns) // parts),) * parts)
        case other:
            raise AssertionError(other)
    return [*tasks[:-1], last]
