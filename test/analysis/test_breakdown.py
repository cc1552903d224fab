"""The breakdown factor is the last that passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, breakdown, check_modes, is_schedulable
from test.task_sets import task_sets


def scaled(tasks: list[AnalysisTask], steps: int) -> list[AnalysisTask]:
    return [
        replace(task, segments_ns=tuple(-(-part * steps // 10_000) for part in task.segments_ns))
        for task in tasks
    ]


@given(task_sets(), st.integers(0, 2))
def test_the_factor_passes_and_the_next_does_not(tasks: list[AnalysisTask], switch: int) -> None:
    steps = round(breakdown(tasks, switch) * 10_000)
    if steps:
        assert is_schedulable(scaled(tasks, steps), switch_ns=switch)
    assert not is_schedulable(scaled(tasks, steps + 1), switch_ns=switch)
    assert (steps >= 10_000) == is_schedulable(tasks, switch_ns=switch)


def test_one_task_breaks_down_where_it_fills_its_deadline() -> None:
    assert breakdown([AnalysisTask("a", (2_000_000,), 10_000_000, 10_000_000)]) == 5.0
    halves = AnalysisTask("a", (1_000_000, 1_000_000), 10_000_000, 10_000_000)
    assert breakdown([halves], switch_ns=500_000) == 4.5


def test_two_tasks_of_preemptive_size_break_down_at_full_utilization() -> None:
    fine = [AnalysisTask(f"task{i}", (100_000,) * 30, 10**7, 10**7) for i in range(2)]
    assert breakdown(fine) == pytest.approx(10 / 6, abs=2e-4)


def test_nothing_helps_a_task_whose_switches_alone_are_too_long() -> None:
    assert breakdown([AnalysisTask("a", (1,), 10, 10)], switch_ns=10) == 0.0


def test_high_budgets_grow_with_the_others() -> None:
    task = AnalysisTask("a", (2_000,), 10_000, 10_000, high_segments_ns=(4_000,))
    assert breakdown([task]) == 2.5
    assert check_modes([task]).verdict.schedulable
