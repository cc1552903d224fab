"""The loop for one lane gives what the loop for several does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask
from aegis_ros.scheduling import (
    CwEdf,
    EarlyExitPlan,
    ExecutionPlan,
    Policy,
    SegmentPlan,
    Slot,
    Table,
    VirtualDeadlines,
)
from aegis_ros.simulation import Outcome, Workload, periodic_arrivals, simulate, sporadic_arrivals
from aegis_ros.spec import Criticality, OverrunPolicy

STEPS = 3
CYCLE = 20
POLICIES: list[Callable[[int], Policy | None]] = [
    lambda lane: None,
    lambda lane: CwEdf(),
    lambda lane: VirtualDeadlines({0: 5, 1: 3}),
    lambda lane: Table({lane: [Slot(0, 0, 0, 2, 4), Slot(0, 0, 1, 9, 12)]}, CYCLE),
]


class Wandering:
    """A plan that goes wherever an outcome sends it."""

    steps, total_ns, exit_after, branches = STEPS, 9, 0, True

    def first(self) -> int:
        return 1

    def after(self, step: int, outcome: object) -> int | None:
        assert isinstance(outcome, int)
        return outcome if outcome < STEPS else None

    def limit(self, step: int) -> int:
        return 3

    def remaining_ns(self, step: int) -> int:
        return 9


PLANS: list[ExecutionPlan] = [
    SegmentPlan(1, (3,)),
    SegmentPlan(3, (2, 3, 1), 5),
    EarlyExitPlan(3, (2, 2, 2), 5, exit_after=1),
    Wandering(),
]


@st.composite
def tasks_of_all_kinds(draw: st.DrawFn) -> list[AnalysisTask]:
    count = draw(st.integers(1, 4))
    return [
        AnalysisTask(
            f"task{index}",
            (1,),
            CYCLE if index == 0 else draw(st.integers(4, 40)),
            draw(st.integers(3, 60)),
            draw(st.integers(0, 4)),
            draw(st.sampled_from(list(Criticality))),
        )
        for index in range(count)
    ]


@given(st.data(), tasks_of_all_kinds(), st.sampled_from(POLICIES), st.integers(0, 2**32))
def test_one_lane_runs_as_if_there_were_others(
    data: st.DataObject,
    tasks: list[AnalysisTask],
    policy: Callable[[int], Policy | None],
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    if data.draw(st.booleans()):
        jobs = sporadic_arrivals(tasks, 300, generator)
    else:  # many events at one instant
        jobs = periodic_arrivals([replace(task, jitter_ns=0) for task in tasks], 300)
    shortest = data.draw(st.integers(0, 1))
    longest = data.draw(st.integers(1, 4))
    lengths = generator.integers(shortest, longest + 1, (len(jobs), STEPS))
    jobs = Workload(
        jobs.task, jobs.arrival_ns, jobs.ready_ns, [tuple(row) for row in lengths.tolist()]
    )
    outcomes = generator.integers(0, 2, len(jobs)).tolist()
    plans = [data.draw(st.sampled_from(PLANS)) for _ in tasks]
    low: dict[int, ExecutionPlan] = {
        index: SegmentPlan(plan.steps, (2,) * plan.steps)
        for index, plan in enumerate(plans)
        if data.draw(st.booleans())
    }
    enforced = [data.draw(st.sampled_from([None, *OverrunPolicy])) for _ in tasks]
    queue = data.draw(st.sampled_from([1, 2, 1_000]))
    switch = data.draw(st.integers(0, 1))

    def outcome_of(job: int, step: int, now_ns: int) -> int:
        return ((2, 3), (0, 2), (3, 3))[step][outcomes[job]]  # any way to an end

    def run(lane: int) -> Outcome:
        return simulate(
            tasks,
            jobs,
            lanes=[lane] * len(tasks),
            switch_ns=switch,
            policy=policy(lane),
            queue=queue,
            plans=plans,
            low=low,
            on_overrun=enforced,
            outcome_of=outcome_of,
            slowdown=slowdown if lane else None,
            keep_runs=True,
        )

    slowdown = data.draw(st.sampled_from([None, lambda task, beside: 2.0]))
    alone, beside_nothing = run(0), run(1).on_lane(1)
    assert alone.started_ns.tolist() == beside_nothing.started_ns.tolist()
    assert alone.finished_ns.tolist() == beside_nothing.finished_ns.tolist()
    assert alone.runs == beside_nothing.runs
    assert alone.lane_busy_ns == beside_nothing.lane_busy_ns
    assert alone.end_ns == beside_nothing.end_ns
