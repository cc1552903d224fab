"""Streamed weights: never more in memory than the plan says, never longer than its budgets."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.memory import StreamedSegment, StreamPlan, most_resident, stream_plan
from aegis_ros.simulation import simulate, sporadic_arrivals

MIB = 1024 * 1024
SEGMENTS = st.lists(
    st.builds(StreamedSegment, st.integers(0, 50), st.integers(0, 9), st.integers(1, 9)),
    min_size=1,
    max_size=6,
)


def with_resident(segments: list[StreamedSegment]) -> st.SearchStrategy[StreamPlan]:
    return st.integers(1, len(segments)).map(lambda count: stream_plan(segments, count))


PLANS = SEGMENTS.flatmap(with_resident)


def test_a_network_in_less_memory_takes_more_time() -> None:
    segments = [StreamedSegment(size * MIB, size * MIB // 10, 1_000) for size in (30, 10, 20)]
    whole, two, one = (stream_plan(segments, count) for count in (3, 2, 1))
    assert (whole.weights, whole.budgets_ns) == (60 * MIB, (1_000,) * 3)
    assert (two.kept, two.weights // MIB) == ({0}, 50)
    assert two.budgets_ns == (1_000, 1_000 + MIB, 1_000 + 2 * MIB)
    assert (one.kept, one.weights // MIB, one.total_ns) == (set(), 30, 3_000 + 6 * MIB)
    assert most_resident(segments, 59 * MIB) == two
    assert most_resident(segments, 30 * MIB) == one
    assert most_resident(segments, 30 * MIB - 1) is None, "the largest segment is the floor"


@pytest.mark.parametrize("resident", [0, 2])
def test_as_many_segments_as_there_are_can_be_in_memory(resident: int) -> None:
    with pytest.raises(ValueError, match="of 1 segments in memory"):
        stream_plan([StreamedSegment(1, 1, 1)], resident)


@given(SEGMENTS, st.integers(0, 200))
def test_the_plan_is_the_fastest_of_its_number_and_the_largest_that_fits(
    segments: list[StreamedSegment], room: int
) -> None:
    plans = [stream_plan(segments, count) for count in range(1, len(segments) + 1)]
    for count, plan in enumerate(plans, 1):
        assert plan.resident == count
        if count < len(segments):
            others = combinations(range(len(segments)), count - 1)
            assert plan.total_ns == min(
                StreamPlan(tuple(segments), frozenset(kept)).total_ns for kept in others
            )
    assert sorted(plans, key=lambda plan: plan.weights) == plans
    found = most_resident(segments, room)
    fitting = [plan for plan in plans if plan.weights <= room]
    assert found == (fitting[-1] if fitting else None)


@given(
    st.lists(st.tuples(PLANS, st.integers(2, 6), st.integers(0, 90)), min_size=1, max_size=3),
    st.integers(0, 2**32),
)
def test_admitted_networks_that_stream_never_miss_and_never_hold_more(
    drawn: list[tuple[StreamPlan, int, int]], seed: int
) -> None:
    plans = [plan for plan, _, _ in drawn]
    tasks = [
        AnalysisTask(
            f"task{index}",
            plan.budgets_ns,
            plan.total_ns * len(drawn) * rarely // 2 + 1,
            plan.total_ns + slack,
        )
        for index, (plan, rarely, slack) in enumerate(drawn)
    ]
    assume(is_schedulable(tasks))
    event(f"{sum(bool(plan.streamed) for plan in plans)} stream")
    die = np.random.default_rng(seed)
    arrivals = sporadic_arrivals(tasks, 2_000, die)
    # Of each load, what is left when its turn comes: a loader may have begun before.
    times = [
        tuple(
            int(die.integers(1, each.compute_ns + 1))
            + (0 if index in plans[owner].kept else int(die.integers(0, each.load_ns + 1)))
            for index, each in enumerate(plans[owner].segments)
        )
        for owner in arrivals.task.tolist()
    ]
    outcome = simulate(tasks, replace(arrivals, execution_ns=times), keep_runs=True)
    assert (outcome.finished_ns <= outcome.deadline_ns).all()
    in_place: dict[int, int] = {}
    for run in outcome.runs:
        owner = int(arrivals.task[run.job])
        if run.step not in plans[owner].kept:
            in_place[owner] = run.step
        held = [
            sum(plan.segments[index].weights for index in (*plan.kept, *there))
            for number, plan in enumerate(plans)
            for there in [[in_place[number]] if number in in_place else []]
        ]
        assert all(taken <= plan.weights for taken, plan in zip(held, plans, strict=True))
