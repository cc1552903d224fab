"""A table is found if, and only if, there is one."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask
from aegis_ros.analysis.periodic import cycle_ns, places_in
from aegis_ros.analysis.timetable import make_table
from aegis_ros.errors import ConfigError
from test.task_sets import periodic_sets


def exists(tasks: list[AnalysisTask]) -> bool:
    """Try every order of the segments of one cycle, each as early as it goes."""
    cycle = cycle_ns(tasks)
    assert cycle is not None
    jobs = [
        (k * task.period_ns + task.jitter_ns, k * task.period_ns + task.deadline_ns, task)
        for task in tasks
        for k in range(cycle // task.period_ns)
    ]

    def search(now: int, done: tuple[int, ...]) -> bool:
        pending = [
            index for index, (_, _, task) in enumerate(jobs) if done[index] < len(task.segments_ns)
        ]
        if not pending:
            return True
        for index in pending:
            ready, due, task = jobs[index]
            rest = sum(task.segments_ns[done[index] :])
            if max(now, ready) + rest > due:
                return False
        for index in pending:
            ready, _, task = jobs[index]
            end = max(now, ready) + task.segments_ns[done[index]]
            if search(end, (*done[:index], done[index] + 1, *done[index + 1 :])):
                return True
        return False

    return search(0, (0,) * len(jobs))


@given(periodic_sets(jitter=True, most=3))
def test_a_table_is_found_where_one_exists_and_only_there(tasks: list[AnalysisTask]) -> None:
    tasks = [replace(task, deadline_ns=min(task.deadline_ns, task.period_ns)) for task in tasks]
    assume(all(task.wcet_ns() + task.jitter_ns <= task.deadline_ns for task in tasks))
    cycle = cycle_ns(tasks)
    assume(cycle is not None and places_in(tasks, cycle) <= 9)
    table, certain = make_table(tasks)
    assert certain and (table is not None) == exists(tasks)


@given(periodic_sets(jitter=True, most=3), st.integers(2, 1_000_000))
def test_the_unit_of_time_does_not_matter(tasks: list[AnalysisTask], factor: int) -> None:
    larger = [
        AnalysisTask(
            task.name,
            tuple(part * factor for part in task.segments_ns),
            task.period_ns * factor,
            task.deadline_ns * factor,
            task.jitter_ns * factor,
        )
        for task in tasks
    ]
    assert (make_table(tasks)[0] is None) == (make_table(larger)[0] is None)


def test_the_same_set_gets_the_same_table() -> None:
    tasks = [
        AnalysisTask(name, (budget,), period, period)
        for name, budget, period in (("a", 8, 30), ("b", 19, 30), ("c", 1, 12))
    ]
    assert make_table(tasks) == make_table(tasks)


def test_a_search_without_time_is_not_certain() -> None:
    tasks = [
        AnalysisTask(name, (budget,), period, period)
        for name, budget, period in (("a", 8, 30), ("b", 19, 30), ("c", 1, 12))
    ]
    table, certain = make_table(tasks, limit_s=0.0)
    assert table is None and not certain


def test_a_missing_solver_is_named_and_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)
    easy = [AnalysisTask("a", (3,), 10, 10), AnalysisTask("b", (4,), 20, 20)]
    assert make_table(easy)[0] is not None
    with pytest.raises(ConfigError, match=r"aegis_ros\[table\]"):
        make_table([AnalysisTask("a", (2,), 5, 5), AnalysisTask("b", (7,), 20, 20)])
