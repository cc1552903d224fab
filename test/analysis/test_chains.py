"""No chain takes longer than its bound, on one lane or over two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, Chain, chain_reaction_bound, check_lane
from aegis_ros.errors import ConfigError
from aegis_ros.simulation import Outcome, Workload, simulate, sporadic_arrivals
from test.task_sets import task_sets

FIRST = AnalysisTask("detect", (3,), 20, 20)
SECOND = AnalysisTask("track", (2,), 20, 20)
CHAIN = Chain("avoid", ("detect", "track"), 30)


def stage_after(jobs: Workload, outcome: Outcome, best: int = 0) -> Workload:
    """Replace the jobs of the second task by those that the ends of the first trigger."""
    first, second = 0, 1
    plain = jobs.without(second, -(1 << 60), 1 << 60)
    ended = (outcome.workload.task == first) & ~outcome.skipped
    count = int(ended.sum())
    parts = outcome.tasks[second].segments_ns
    return Workload.of(
        np.append(plain.task, np.full(count, second)),
        np.append(plain.arrival_ns, outcome.workload.arrival_ns[ended] + best),
        np.append(plain.ready_ns, outcome.finished_ns[ended]),
        [*plain.execution_ns, *[parts] * count],
    )


@st.composite
def chained_sets(draw: st.DrawFn) -> list[AnalysisTask]:
    """Sets whose second task is triggered by the first; deadlines leave room for jitter."""
    tasks = draw(task_sets(most=4))
    assume(len(tasks) >= 2)
    tasks = [replace(task, deadline_ns=task.deadline_ns + 60) for task in tasks]
    tasks[1] = replace(tasks[1], period_ns=tasks[0].period_ns, jitter_ns=0)
    return tasks


@given(chained_sets(), st.integers(0, 2), st.integers(0, 2**32))
def test_a_chain_on_one_lane_never_takes_longer_than_its_bound(
    tasks: list[AnalysisTask], switch: int, seed: int
) -> None:
    chain = Chain("chain", (tasks[0].name, tasks[1].name))
    verdict = chain_reaction_bound([chain], tasks, switch_ns=switch)
    assume(verdict.schedulable)
    jobs = sporadic_arrivals(tasks, 500, np.random.default_rng(seed))
    begun = jobs.without(1, -(1 << 60), 1 << 60)
    while True:  # what a job triggers comes later: each round is right for one job more
        outcome = simulate(tasks, begun, switch_ns=switch)
        following = stage_after(begun, outcome)
        if np.array_equal(following.ready_ns, begun.ready_ns):
            break
        begun = following
    assert not outcome.missed.any()
    worst = outcome.worst_response_ns()
    assert worst[1] <= verdict.bounds[0].latency_ns
    bounds = {bound.task: bound.bound_ns for bound in verdict.verdicts["main"].responses}
    assert all(reached <= bounds[t.name] for t, reached in zip(tasks, worst.tolist(), strict=True))


@given(chained_sets(), st.integers(0, 2), st.integers(0, 2**32), st.booleans())
def test_a_chain_over_two_lanes_never_takes_longer_than_its_bound(
    tasks: list[AnalysisTask], switch: int, seed: int, know_best: bool
) -> None:
    chain = Chain("chain", (tasks[0].name, tasks[1].name))
    lanes = {task.name: "b" if index % 2 else "a" for index, task in enumerate(tasks)}
    # Every job takes its budget here, so that the first stage cannot end before it.
    best = {tasks[0].name: tasks[0].wcet_ns(switch)} if know_best else {}
    verdict = chain_reaction_bound([chain], tasks, lane_of=lanes, best_ns=best, switch_ns=switch)
    assume(verdict.schedulable)
    jobs = sporadic_arrivals(tasks, 1_000, np.random.default_rng(seed), shortest=1.0)
    first, second = jobs, jobs
    for index, task in enumerate(tasks):
        if lanes[task.name] == "a":
            second = second.without(index, -(1 << 60), 1 << 60)
        else:
            first = first.without(index, -(1 << 60), 1 << 60)
    on_a = simulate(tasks, first, switch_ns=switch)
    shortest = best.get(tasks[0].name, 0)
    on_b = simulate(tasks, stage_after(second, on_a, shortest), switch_ns=switch)
    assert not on_a.missed.any() and not on_b.missed.any()
    assert shortest + on_b.worst_response_ns()[1] <= verdict.bounds[0].latency_ns


@given(chained_sets())
def test_the_jitters_are_a_fixpoint(tasks: list[AnalysisTask]) -> None:
    chain = Chain("chain", (tasks[0].name, tasks[1].name))
    verdict = chain_reaction_bound([chain], tasks)
    assume(verdict.schedulable)
    settled = [replace(task, jitter_ns=verdict.jitters_ns[task.name]) for task in tasks]
    again = {bound.task: bound.bound_ns for bound in check_lane(settled, tight=True).responses}
    assert verdict.jitters_ns[tasks[1].name] >= again[tasks[0].name]


def test_a_chain_alone_on_a_lane_takes_its_budgets_and_blocking() -> None:
    verdict = chain_reaction_bound([CHAIN], [FIRST, replace(SECOND, deadline_ns=40)])
    assert verdict.schedulable
    bound = verdict.bounds[0]
    assert bound.latency_ns <= 12 and bound.reaction_ns == bound.latency_ns + 20


def test_a_chain_that_ends_too_late_is_named() -> None:
    verdict = chain_reaction_bound(
        [replace(CHAIN, deadline_ns=4)], [FIRST, replace(SECOND, deadline_ns=40)]
    )
    assert not verdict.schedulable and "avoid" in verdict.sentence


def test_a_stage_without_room_for_the_jitter_is_rejected_with_its_lane() -> None:
    verdict = chain_reaction_bound([CHAIN], [FIRST, replace(SECOND, deadline_ns=6)])
    assert check_lane([FIRST, replace(SECOND, deadline_ns=6)]).schedulable
    assert not verdict.schedulable and not verdict.bounds
    assert "jitter" in verdict.sentence and "track" in verdict.sentence


@pytest.mark.parametrize(
    ("chains", "said"),
    [
        ([Chain("c", ("detect", "missing"))], "no such task"),
        ([Chain("c", ())], "at least one"),
        ([Chain("c", ("detect", "track", "detect"))], "loop"),
        ([Chain("c", ("detect", "track")), Chain("d", ("plan", "track"))], "already"),
        ([Chain("c", ("detect", "slow"))], "fewer jobs"),
        ([Chain("c", ("detect", "track")), Chain("d", ("track", "plan"))], "beginning at"),
    ],
)
def test_chains_that_make_no_sense_are_refused(chains: list[Chain], said: str) -> None:
    tasks = [FIRST, SECOND, replace(FIRST, name="plan"), replace(FIRST, name="slow", period_ns=40)]
    with pytest.raises(ConfigError, match=said):
        chain_reaction_bound(chains, tasks)
