"""Several lanes under one scheduler: apart where they do not meet, slower where they do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.scheduling import CwEdf, Policy
from aegis_ros.simulation import Workload, periodic_arrivals, simulate, sporadic_arrivals
from test.task_sets import task_sets


def renamed(lanes: list[list[AnalysisTask]]) -> tuple[list[AnalysisTask], list[int]]:
    """Return the tasks of all lanes with names of their own, and the lane of each."""
    tasks = [
        replace(task, name=f"lane{index}_{task.name}")
        for index, own in enumerate(lanes)
        for task in own
    ]
    return tasks, [index for index, own in enumerate(lanes) for _ in own]


@given(
    st.lists(task_sets(), min_size=1, max_size=4),
    st.integers(0, 2**32),
    st.integers(0, 2),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_lanes_that_do_not_slow_each_other_run_as_each_would_alone(
    lanes: list[list[AnalysisTask]], seed: int, switch: int, queue: int | None, idles: bool
) -> None:
    tasks, places = renamed(lanes)
    jobs = sporadic_arrivals(tasks, 300, np.random.default_rng(seed))
    waiting = queue or 1_000_000

    def policy() -> Policy | None:
        return CwEdf() if idles else None

    together = simulate(
        tasks,
        jobs,
        lanes=places,
        switch_ns=switch,
        queue=waiting,
        policy=policy(),
        keep_runs=True,
    )
    for lane in range(len(lanes)):
        own = together.on_lane(lane)
        alone = simulate(
            own.tasks,
            own.workload,
            switch_ns=switch,
            queue=waiting,
            policy=policy(),
            keep_runs=True,
        )
        assert own.started_ns.tolist() == alone.started_ns.tolist()
        assert own.finished_ns.tolist() == alone.finished_ns.tolist()
        assert own.runs == alone.runs and own.lane_busy_ns == alone.lane_busy_ns


def test_work_takes_longer_for_as_long_as_somebody_runs_beside_it() -> None:
    tasks = [AnalysisTask("a", (10,), 100, 100), AnalysisTask("b", (4,), 100, 100)]
    jobs = Workload.of(np.array([0, 1]), np.array([0, 4]), np.array([0, 4]), [(10,), (4,)])
    outcome = simulate(
        tasks,
        jobs,
        lanes=[0, 1],
        slowdown=lambda task, beside: 1.5 if task == 0 else 2.0,
        keep_runs=True,
    )
    # b takes twice its 4 from 4 to 12; meanwhile a gets 8 / 1.5 of the 6 that are left done.
    assert outcome.finished_ns.tolist() == [math.ceil(12 + 6 - 8 / 1.5), 12]
    assert outcome.lane_busy_ns == (outcome.finished_ns[0], 8)


def test_the_factors_of_several_lanes_multiply() -> None:
    tasks = [AnalysisTask(name, (8,), 100, 100) for name in "abc"]
    jobs = periodic_arrivals(tasks, 1)
    outcome = simulate(tasks, jobs, lanes=[0, 1, 2], slowdown=lambda task, beside: 1.5)
    assert outcome.finished_ns.tolist() == [18, 18, 18]


def test_a_factor_below_one_is_refused() -> None:
    tasks = [AnalysisTask(name, (8,), 100, 100) for name in "ab"]
    jobs = periodic_arrivals(tasks, 1)
    with pytest.raises(ValueError, match=r"factor of 0\.5"):
        simulate(tasks, jobs, lanes=[0, 1], slowdown=lambda task, beside: 0.5)


@given(
    st.lists(task_sets(), min_size=2, max_size=3),
    st.lists(st.sampled_from([1.0, 1.1, 1.25, 1.5]), min_size=16, max_size=16),
    st.integers(0, 2**32),
)
def test_lanes_proven_with_contention_budgets_miss_nothing_whatever_overlaps(
    lanes: list[list[AnalysisTask]], factors: list[float], seed: int
) -> None:
    """Partitioned EDF with budgets measured beside the others is sound for every overlap."""
    tasks, places = renamed(lanes)

    def slowdown(task: int, beside: int) -> float:
        return factors[(7 * task + beside) % len(factors)]

    contended = []
    for index, task in enumerate(tasks):
        worst = 1.0
        for lane in range(len(lanes)):
            if lane != places[index]:
                worst *= max(
                    slowdown(index, other) for other, at in enumerate(places) if at == lane
                )
        parts = tuple(math.ceil(part * worst) for part in task.segments_ns)
        contended.append(replace(task, segments_ns=parts, total_ns=0))
    verdicts = [
        check_lane([task for task, at in zip(contended, places, strict=True) if at == lane])
        for lane in range(len(lanes))
    ]
    assume(all(verdict.schedulable for verdict in verdicts))
    jobs = sporadic_arrivals(tasks, 400, np.random.default_rng(seed))
    outcome = simulate(tasks, jobs, lanes=places, slowdown=slowdown)
    assert not outcome.missed.any()
    bounds = {item.task: item.bound_ns for verdict in verdicts for item in verdict.responses}
    for task, worst_ns in zip(tasks, outcome.worst_response_ns().tolist(), strict=True):
        if task.name in bounds:
            assert worst_ns <= bounds[task.name]
