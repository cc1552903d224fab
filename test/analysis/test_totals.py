"""A whole job may have less time than the sum of its segments; the simulator judges what follows.

A job takes any times that keep the budgets of its segments and of the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import (
    AnalysisTask,
    assign,
    breakdown,
    check_lane,
    check_policy,
    counterfactuals,
    is_schedulable,
    shed_order,
)
from aegis_ros.analysis.demand import LaneLoad
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Rule
from aegis_ros.simulation import (
    Workload,
    bursty_arrivals,
    critical_arrivals,
    periodic_arrivals,
    simulate,
    sporadic_arrivals,
)
from aegis_ros.spec import Criticality
from test.analysis.ties import LosesTies
from test.task_sets import sets_with_totals

MS = 1_000_000
_UNTIL = 2_000
TASK = AnalysisTask("camera", (3, 4, 2), 20, 20, total_ns=6)


_ORDERS: list[Callable[[int], tuple[int, ...]]] = [
    lambda count: tuple(range(count)),
    lambda count: tuple(range(count))[::-1],
    lambda count: tuple(range(1, count)),
]


def with_executions(
    tasks: list[AnalysisTask], workload: Workload, order: Callable[[int], tuple[int, ...]]
) -> Workload:
    """Let every job spend its whole budget on its segments in this order."""
    rows = [task.execution_ns(*order(len(task.segments_ns))) for task in tasks]
    return replace(workload, execution_ns=[rows[owner] for owner in workload.task.tolist()])


@given(sets_with_totals(), st.integers(0, 2**32), st.integers(0, 2))
def test_admitted_sets_never_miss_and_never_exceed_their_bounds(
    tasks: list[AnalysisTask], seed: int, switch: int
) -> None:
    assume(is_schedulable(tasks, switch_ns=switch))
    verdict = check_lane(tasks, switch_ns=switch, tight=True)
    assert verdict.schedulable
    bounds = np.array([bound.bound_ns for bound in verdict.responses])
    generator = np.random.default_rng(seed)
    offsets = [int(generator.integers(0, task.period_ns)) for task in tasks]
    patterns = [
        periodic_arrivals(tasks, _UNTIL, offsets),
        bursty_arrivals(tasks, _UNTIL),
        sporadic_arrivals(tasks, _UNTIL, generator),
    ]
    for pattern in patterns:
        for workload in (pattern, *(with_executions(tasks, pattern, order) for order in _ORDERS)):
            outcome = simulate(tasks, workload, switch_ns=switch)
            assert not outcome.missed.any()
            assert np.all(outcome.worst_response_ns() <= bounds)


@given(sets_with_totals(), st.integers(0, 2))
def test_every_rejected_set_has_a_witness_that_misses(
    tasks: list[AnalysisTask], switch: int
) -> None:
    verdict = check_lane(tasks, switch_ns=switch)
    assume(not verdict.schedulable and verdict.rule is not Rule.LIMIT)
    assert verdict.witness is not None and verdict.witness.slack_ns < 0
    pattern = critical_arrivals(tasks, verdict.witness, switch_ns=switch)
    for parts, owner in zip(pattern.execution_ns, pattern.task.tolist(), strict=True):
        assert sum(parts) == tasks[owner].work_ns
        assert all(map(int.__le__, parts, tasks[owner].segments_ns))
    assert simulate(tasks, pattern, switch_ns=switch).missed.any()


@given(sets_with_totals(most=3, jitter=False))
def test_start_time_bounds_without_jitter_are_reached(tasks: list[AnalysisTask]) -> None:
    verdict = check_lane(tasks, tight=True)
    assume(verdict.schedulable and any(task.total_ns for task in tasks))
    busy = LaneLoad(tasks).busy_period_ns(max(task.wcet_ns() for task in tasks))
    assume(busy is not None and busy < 100)
    for victim, bound in enumerate(verdict.responses):
        found = tasks[victim].wcet_ns()
        for blocker in range(-1, len(tasks)):
            rows = [task.execution_ns() for task in tasks]
            begun = 1
            if blocker >= 0:
                parts = tasks[blocker].segments_ns
                longest = parts.index(max(parts))
                rows[blocker] = tasks[blocker].execution_ns(longest)
                begun += sum(rows[blocker][:longest])
            for offset in range(tasks[victim].period_ns):
                starts = [0 if index == blocker else begun for index in range(len(tasks))]
                starts[victim] = begun + offset
                if found < bound.bound_ns:
                    jobs = periodic_arrivals(tasks, 200, starts)
                    jobs = replace(jobs, execution_ns=[rows[each] for each in jobs.task.tolist()])
                    outcome = simulate(tasks, jobs, policy=LosesTies(victim))
                    found = max(found, int(outcome.worst_response_ns()[victim]))
        assert found == bound.bound_ns


@given(sets_with_totals())
def test_a_larger_total_never_turns_no_into_yes(tasks: list[AnalysisTask]) -> None:
    assume(not is_schedulable(tasks))
    assert not is_schedulable([task.by_segments() for task in tasks])


@given(sets_with_totals(most=3))
def test_a_total_of_the_sum_is_no_total(tasks: list[AnalysisTask]) -> None:
    plain = [task.by_segments() for task in tasks]
    said = [replace(task, total_ns=sum(task.segments_ns)) for task in tasks]
    assert check_lane(plain, tight=True) == check_lane(said, tight=True)


def test_the_least_total_makes_the_set_pass_and_the_longest_segment_still_blocks() -> None:
    often = AnalysisTask("often", (4,), 10, 10)
    rare = AnalysisTask("rare", (6, 6, 6), 40, 40)
    assert not is_schedulable([often, replace(rare, segments_ns=(9, 9, 9))])
    assert is_schedulable([often, rare])
    longer = replace(rare, segments_ns=(6,) * 8)
    assert not is_schedulable([often, longer])
    assert is_schedulable([often, replace(longer, total_ns=18)])
    blocked = check_lane([replace(often, deadline_ns=9), replace(longer, total_ns=18)]).witness
    assert blocked is not None and blocked.blocking_ns == 5


@pytest.mark.parametrize("total", [-1, 3, 10, 10**17])
def test_a_total_below_the_longest_or_above_the_sum_is_refused(total: int) -> None:
    with pytest.raises(ConfigError, match=r"camera\.total_ns"):
        replace(TASK, total_ns=total)
    with pytest.raises(ConfigError, match=r"camera\.high_total_ns"):
        replace(TASK, high_total_ns=9)
    with pytest.raises(ConfigError, match=r"camera\.high_total_ns"):
        replace(TASK, high_segments_ns=(3, 4, 5), high_total_ns=5)


def test_a_task_reports_its_budgets_by_its_total() -> None:
    assert TASK.wcet_ns(2) == 12 and TASK.longest_ns(2) == 6
    assert TASK.utilization == 0.3 and TASK.density == 0.3
    assert TASK.switched(2).segments_ns == (5, 6, 4) and TASK.switched(2).total_ns == 12
    assert TASK.cut(3) == replace(TASK, segments_ns=(2, 2, 2), total_ns=0)
    assert TASK.scaled(lambda part: 2 * part).total_ns == 12
    assert TASK.execution_ns() == (3, 3, 0) and TASK.execution_ns(1) == (2, 4, 0)
    assert TASK.execution_ns(2, 1, 0) == (0, 4, 2)
    high = replace(TASK, high_segments_ns=(9, 9, 9), high_total_ns=12)
    assert high.at_high().work_ns == 12 and high.at_low() == TASK and TASK.at_high() == TASK


def test_what_follows_from_a_verdict_counts_by_the_total() -> None:
    often = AnalysisTask("often", (4 * MS,), 10 * MS, 10 * MS)
    rare = AnalysisTask(
        "rare", (4 * MS,) * 6, 40 * MS, 40 * MS, criticality=Criticality.LOW, total_ns=16 * MS
    )
    assert breakdown([often, rare]) > 1.0 > breakdown([often, rare.by_segments()]) - 0.25
    assert breakdown([often, rare]) > breakdown([often, rare.by_segments()])
    assert shed_order([often, rare], 0.9) == ()
    assert shed_order([often, replace(rare, total_ns=24 * MS)], 0.9) == ("rare",)
    full = replace(rare, name="full", period_ns=20 * MS, deadline_ns=20 * MS)
    assert not assign([often, full], ["main"]).schedulable
    smaller = [
        change
        for change in counterfactuals([often, full], "full", ["main"])
        if change.change == "wcet_ms"
    ]
    assert smaller and 10.0 < smaller[0].value < 16.0


def test_policies_that_look_ahead_count_every_segment() -> None:
    often = AnalysisTask("often", (4,), 10, 10)
    rare = AnalysisTask("rare", (6,) * 8, 40, 40, total_ns=18)
    assert check_policy([often, rare], policy="edf")[0].schedulable
    for policy in ("cw_edf", "table"):
        assert not check_policy([often, rare], policy=policy)[0].schedulable  # type: ignore[arg-type]
