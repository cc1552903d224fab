"""Random task sets for property tests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask


@st.composite
def task_sets(
    draw: st.DrawFn, *, jitter: bool = True, segments: bool = True, most: int = 5
) -> list[AnalysisTask]:
    """Small sets around the border of schedulability; deadlines below, at and above the period."""
    tasks = []
    count = draw(st.integers(1, most))
    for index in range(count):
        period = draw(st.integers(6, 60))
        most_parts = 3 if segments else 1
        longest = max(1, 2 * period // (count * most_parts))
        parts = draw(st.lists(st.integers(1, longest), min_size=1, max_size=most_parts))
        least = sum(parts) + 1
        deadline = draw(st.integers(least, least + 70))
        spare = deadline - sum(parts)
        tasks.append(
            AnalysisTask(
                f"task{index}",
                tuple(parts),
                period,
                deadline,
                draw(st.integers(0, min(6, spare))) if jitter else 0,
            )
        )
    return tasks


@st.composite
def periodic_sets(draw: st.DrawFn, *, jitter: bool = False, most: int = 4) -> list[AnalysisTask]:
    """Small sets whose cycle is short, around the border of what a table can hold."""
    tasks = []
    count = draw(st.integers(1, most))
    for index in range(count):
        period = draw(st.sampled_from([6, 8, 10, 12, 15, 20, 24, 30, 40, 60]))
        most_parts = draw(st.integers(1, 3))
        longest = max(1, 2 * period // (count * most_parts))
        parts = draw(st.lists(st.integers(1, longest), min_size=1, max_size=most_parts))
        least = sum(parts)
        deadline = draw(st.one_of(st.just(max(period, least)), st.integers(least, least + 40)))
        spare = min(deadline - least, period - 1, 5)
        tasks.append(
            AnalysisTask(
                f"task{index}",
                tuple(parts),
                period,
                deadline,
                draw(st.integers(0, spare)) if jitter else 0,
            )
        )
    return tasks


@st.composite
def sets_with_totals(draw: st.DrawFn, *, most: int = 5, jitter: bool = True) -> list[AnalysisTask]:
    """Small sets around the border of schedulability, some jobs with less than their segments."""
    tasks = draw(task_sets(most=most, jitter=jitter))
    return [
        replace(
            task,
            total_ns=draw(
                st.one_of(st.just(0), st.integers(max(task.segments_ns), sum(task.segments_ns)))
            ),
        )
        for task in tasks
    ]
