"""Tasks that take different times on different lanes: each lane is chosen by the budget there."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from hypothesis import event, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, assign, is_schedulable
from aegis_ros.analysis.lanes import Budgets, admits
from test.task_sets import task_sets

LANES = ("fast", "slow", "other")


@st.composite
def budgets(draw: st.DrawFn, tasks: list[AnalysisTask]) -> Budgets:
    """Times of each task on some lanes, at least one."""
    found = {}
    for task in tasks:
        able = draw(st.lists(st.sampled_from(LANES), min_size=1, unique=True))
        found[task.name] = {
            lane: replace(
                task,
                segments_ns=tuple(part * draw(st.integers(1, 4)) for part in task.segments_ns),
                total_ns=0,
            )
            for lane in LANES
            if lane in able
        }
    return found


@given(st.data(), task_sets(most=4))
def test_what_is_found_passes_with_the_budgets_of_its_lanes_and_nothing_else_would(
    data: st.DataObject, tasks: list[AnalysisTask]
) -> None:
    own = data.draw(budgets(tasks))
    found = assign(tasks, LANES, budgets=own)
    assert admits(tasks, LANES, budgets=own) == found.schedulable
    if found.schedulable:
        for lane in LANES:
            there = [own[name][lane] for name, where in found.lane_of.items() if where == lane]
            assert is_schedulable(there)
    ways = product(*(own[task.name].items() for task in tasks))
    possible = any(
        all(is_schedulable([there for where, there in way if where == lane]) for lane in LANES)
        for way in ways
    )
    event(f"possible: {possible}, {found.method}")
    # Placed one after the other, tasks of best effort are not searched through.
    if not any(task.best_effort for task in tasks):
        assert found.schedulable == possible
    assert possible or not found.schedulable


@given(task_sets(most=6))
def test_equal_budgets_on_all_lanes_change_nothing(tasks: list[AnalysisTask]) -> None:
    same = {task.name: dict.fromkeys(LANES, task) for task in tasks}
    assert assign(tasks, LANES, budgets=same) == assign(tasks, LANES)


def test_a_task_that_runs_on_no_lane_that_is_free_is_shown_where_it_can_run() -> None:
    task = AnalysisTask("a", (10,), 8, 8)
    found = assign([task], ("fast", "slow"), budgets={"a": {"slow": task}})
    assert not found.schedulable and found.lane_of == {"a": "slow"}
