"""Choosing lanes: what is chosen is proven and the best, and misses nothing when simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.planning.lane_plan import plan_lanes
from aegis_ros.planning.lane_search import best_placement
from aegis_ros.planning.lane_table import TableLayout
from aegis_ros.planning.lane_trial import Trial
from aegis_ros.simulation import bursty_arrivals, simulate, sporadic_arrivals
from test.task_sets import task_sets

SCALE = 1_000  # of the small numbers of random sets, so that slowdowns are not lost in rounding
FACTORS = [Fraction(each) for each in ("1", "11/10", "5/4", "3/2", "3")]
Factor = Callable[[str, str], Fraction]


def task(name: str, work: int, period: int, deadline: int = 0, **changes: object) -> AnalysisTask:
    made = AnalysisTask(name, (work * SCALE,), period * SCALE, (deadline or period) * SCALE)
    return replace(made, **changes)  # type: ignore[arg-type]


def layout(tasks: Sequence[AnalysisTask], lanes: int, slowdown: Factor) -> TableLayout:
    names = tuple(f"lane{index}" for index in range(lanes))
    return TableLayout(names, {each.name: dict.fromkeys(names, each) for each in tasks}, slowdown)


def layouts(tasks: Sequence[AnalysisTask], most: int, slowdown: Factor) -> dict[str, TableLayout]:
    return {f"{count} lanes": layout(tasks, count, slowdown) for count in range(1, most + 1)}


def always(factor: str) -> Factor:
    return lambda task, other: Fraction(factor)


def drawn(factors: Sequence[Fraction], names: Sequence[str]) -> Factor:
    at = {name: index for index, name in enumerate(names)}
    return lambda task, other: factors[(7 * at[task] + at[other]) % len(factors)]


def scaled(tasks: Sequence[AnalysisTask]) -> list[AnalysisTask]:
    return [
        replace(
            each,
            segments_ns=tuple(part * SCALE for part in each.segments_ns),
            period_ns=each.period_ns * SCALE,
            deadline_ns=each.deadline_ns * SCALE,
            jitter_ns=each.jitter_ns * SCALE,
        )
        for each in tasks
    ]


def every_placement(made: TableLayout) -> list[Mapping[str, str]]:
    names = list(made.budgets)
    return [
        dict(zip(names, lanes, strict=True)) for lanes in product(made.lanes, repeat=len(names))
    ]


_SETS = task_sets(most=5).map(scaled)
_FACTORS = st.lists(st.sampled_from(FACTORS), min_size=16, max_size=16)


@given(_SETS, st.integers(1, 3), _FACTORS, st.integers(0, 2**32), st.booleans())
def test_what_is_chosen_is_admitted_and_misses_nothing_beside_its_neighbours(
    tasks: list[AnalysisTask], most: int, factors: list[Fraction], seed: int, bursts: bool
) -> None:
    slowdown = drawn(factors, [each.name for each in tasks])
    plan = plan_lanes(layouts(tasks, most, slowdown))
    assume(plan.schedulable)
    best = plan.best
    placed = [best.tasks[each.name] for each in tasks]
    for lane in best.lanes:
        assert is_schedulable([item for item, where in placed if where == lane])
    until = 300 * SCALE
    jobs = (
        bursty_arrivals(tasks, until)
        if bursts
        else sporadic_arrivals(tasks, until, np.random.default_rng(seed))
    )
    outcome = simulate(
        tasks,
        jobs,
        lanes=[best.lanes.index(where) for _, where in placed],
        slowdown=lambda own, other: float(slowdown(tasks[own].name, tasks[other].name)),
    )
    assert not outcome.missed.any()


@given(_SETS, st.integers(1, 3), _FACTORS)
def test_no_placement_leaves_more_slack_than_the_one_that_is_chosen(
    tasks: list[AnalysisTask], most: int, factors: list[Fraction]
) -> None:
    ways = layouts(tasks, most, drawn(factors, [each.name for each in tasks]))
    plan = plan_lanes(ways)
    for alternative in plan.alternatives:
        trial = Trial(ways[alternative.label])
        tried = [trial.slack(each) for each in every_placement(ways[alternative.label])]
        if max(tried) >= 0.0:
            assert alternative.found.slack == max(tried)
            assert alternative.found.gap == 0.0
        else:
            assert not alternative.proof.schedulable and alternative.found.most < 0.0
    assert plan.best.found.slack == max(each.found.slack for each in plan.alternatives)


@given(_SETS, st.integers(2, 3), _FACTORS, st.integers(0, 4))
def test_the_heuristic_is_never_better_than_the_optimum_and_its_gap_covers_it(
    tasks: list[AnalysisTask], lanes: int, factors: list[Fraction], exact_tasks: int
) -> None:
    made = layout(tasks, lanes, drawn(factors, [each.name for each in tasks]))
    best = best_placement(Trial(made))
    found = best_placement(Trial(made), exact_tasks=exact_tasks)
    if best.slack >= 0.0:
        assert found.slack <= best.slack <= found.most
    else:
        assert found.slack < 0.0
    assert set(found.lane_of) == {each.name for each in tasks}


@given(_SETS, st.integers(1, 3), _FACTORS, st.integers(0, 60))
def test_a_search_that_is_stopped_says_how_much_better_another_placement_could_be(
    tasks: list[AnalysisTask], lanes: int, factors: list[Fraction], steps: int
) -> None:
    made = layout(tasks, lanes, drawn(factors, [each.name for each in tasks]))
    best, stopped = best_placement(Trial(made)), best_placement(Trial(made), steps=steps)
    assert stopped.slack <= best.slack or best.slack < 0.0
    if best.slack >= 0.0:
        assert stopped.most >= best.slack


def test_a_set_that_one_lane_cannot_hold_gets_as_many_lanes_as_leave_most() -> None:
    tasks = [task(f"t{index}", 40, 100) for index in range(3)]
    plan = plan_lanes(layouts(tasks, 3, always("1.1")))
    one, two, three = plan.alternatives
    assert not one.proof.schedulable and one.proof.verdicts["lane0"].utilization > 1.0
    assert two.proof.schedulable and three.proof.schedulable
    assert plan.chosen == 2 and plan.best.found.slack > two.found.slack


def test_lanes_that_slow_each_other_too_much_are_not_taken() -> None:
    tasks = [task(f"t{index}", 30, 100) for index in range(3)]
    plan = plan_lanes(layouts(tasks, 3, always("3")))
    assert plan.chosen == 0
    assert plan.best.found.slack > 0.0


def test_of_layouts_that_leave_the_same_the_one_with_fewer_lanes_is_taken() -> None:
    plan = plan_lanes(layouts([task("only", 30, 100)], 3, always("1")))
    assert plan.chosen == 0


def test_where_no_layout_holds_everything_the_least_shortfall_is_taken() -> None:
    tasks = [task(f"t{index}", 90, 100) for index in range(3)]
    plan = plan_lanes(layouts(tasks, 2, always("1")))
    assert not plan.schedulable and plan.chosen == 1
    assert plan.best.found.most < 0.0


def test_tasks_that_name_a_lane_stay_there() -> None:
    tasks = [task("a", 30, 100, lane="lane1"), task("b", 30, 100, lane="lane1")]
    found = best_placement(Trial(layout(tasks, 2, always("1"))))
    assert set(found.lane_of.values()) == {"lane1"}


def test_a_layout_of_unequal_shares_puts_each_task_where_it_is_worth_most() -> None:
    """On the large share the detector takes 20 ms, on the small one 80: it must have that one."""
    detector, map_ = task("detector", 20, 100, 50), task("map", 10, 100)
    uneven = TableLayout(
        ("small", "large"),
        {
            "detector": {"large": detector, "small": task("detector", 80, 100, 50)},
            "map": {"large": map_, "small": task("map", 40, 100)},
        },
        kinds={"large": 1, "small": 2},
    )
    assert uneven.alike("small") != uneven.alike("large")
    found = best_placement(Trial(uneven))
    assert found.lane_of["detector"] == "large" and found.slack > 0.0


def test_what_follows_another_task_counts_with_its_jitter() -> None:
    first, second = task("first", 40, 100), task("second", 30, 100)
    chained = replace(layout([first, second], 2, always("1")), follows={"second": "first"})
    found = best_placement(Trial(chained))
    # It begins once the first has ended, and its deadline counts from the frame.
    assert found.slack <= 1.0 - (40 + 30) / 100
    late = replace(
        layout([first, task("second", 30, 100, 60)], 2, always("1")), follows={"second": "first"}
    )
    assert best_placement(Trial(late)).slack < 0.0
    assert best_placement(Trial(replace(late, follows={}))).slack > 0.0


def test_the_heuristic_moves_and_swaps_what_was_placed_first() -> None:
    # One after the other, the longest first, they come to 0.8 and 0.7 of a lane.
    tasks = [task(f"t{index}", work, 100) for index, work in enumerate((30, 30, 20, 20, 20))]
    made = layout(tasks, 2, always("1"))
    found = best_placement(Trial(made), exact_tasks=0)
    assert found.slack == best_placement(Trial(made)).slack


def test_more_than_a_dozen_tasks_are_placed_with_a_gap_that_is_told() -> None:
    tasks = [task(f"t{index}", 5 + index, 100) for index in range(16)]
    found = best_placement(Trial(layout(tasks, 4, always("1.05"))))
    assert found.method == "heuristic" and found.slack > 0.0
    assert 0.0 <= found.gap < 1.0 and found.most == found.slack + found.gap
