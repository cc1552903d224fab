"""A generator that always has requests takes all of the slack, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask
from aegis_ros.memory import KvShape
from aegis_ros.planning.answer import Answer, judge
from aegis_ros.planning.generator import Bucket, Generator
from aegis_ros.planning.task_set import TaskSet
from aegis_ros.simulation import (
    GeneratorFigures,
    Outcome,
    bursty_arrivals,
    periodic_arrivals,
    plan_of,
    simulate,
    sporadic_arrivals,
)
from test.task_sets import task_sets

US = 1_000


def run(answer: Answer, arrivals: object, until_ns: int) -> tuple[Outcome, GeneratorFigures]:
    tasks, switch = answer.on_lane("main"), answer.asked.switch_ns
    (found,) = answer.generators
    made = found.saturated(switch, until_ns=until_ns, chance=np.random.default_rng(5))
    jobs = arrivals.beside(made.workload(switch), len(tasks))  # type: ignore[attr-defined]
    (own,) = np.nonzero(jobs.task == len(tasks))[0]
    outcome = simulate(
        [*tasks, made.task(switch)],
        jobs,
        switch_ns=switch,
        plans=[*(plan_of(task, switch) for task in tasks), made.plan],
        outcome_of=lambda job, step, now: made.outcome(step, now) if job == own else None,
        keep_runs=True,
    )
    return outcome, made.figures()


@st.composite
def sets_with_a_generator(draw: st.DrawFn) -> TaskSet:
    parts = st.lists(st.integers(1, 12), min_size=1, max_size=3)
    buckets = [Bucket(4**at, True, tuple(draw(parts))) for at in range(1, 3)]
    buckets += [
        Bucket(answers, False, tuple(draw(parts)), precision)
        for answers in (1, 2)
        for precision in ("", "int4")
    ]
    cache = KvShape(draw(st.integers(1, 3)), draw(st.integers(2, 40)), 1)
    asked = Generator("assistant", "main", tuple(buckets), cache)
    tasks = draw(task_sets(most=3))
    return TaskSet(tuple(tasks), ("main",), draw(st.integers(0, 1)), generators=(asked,))


@given(sets_with_a_generator(), st.integers(0, 2**32))
def test_no_job_takes_longer_than_its_bound_beside_a_saturated_generator(
    asked: TaskSet, seed: int
) -> None:
    answer = judge(asked, advise=False)
    assume(answer.admitted)
    tasks = answer.on_lane("main")
    bounds = np.array([answer.bound_of(task.name).bound_ns for task in tasks])  # type: ignore[union-attr]
    assert np.all(bounds <= [task.deadline_ns for task in tasks])
    generator = np.random.default_rng(seed)
    offsets = [int(generator.integers(0, task.period_ns)) for task in tasks]
    for arrivals in (
        periodic_arrivals(tasks, 400, offsets),
        bursty_arrivals(tasks, 400),
        sporadic_arrivals(tasks, 400, generator),
    ):
        outcome, _ = run(answer, arrivals, 400)
        assert np.all(outcome.worst_response_ns()[: len(tasks)] <= bounds)
        # With something to say all the time, the lane never idles.
        busy = [min(run.end_ns, 400) - max(0, run.start_ns) for run in outcome.runs]
        assert sum(length for length in busy if length > 0) == 400


def test_its_rate_is_about_what_the_answer_says_where_prompts_are_short() -> None:
    front = AnalysisTask("front", (3 * US,), 10 * US, 8 * US)
    buckets = (Bucket(32, True, (1 * US,)), Bucket(4, False, (2 * US, 2 * US)))
    asked = Generator("assistant", "main", buckets, KvShape(4, 1_000, 1))
    answer = judge(TaskSet((front,), ("main",), generators=(asked,)))
    until = 100_000 * US
    outcome, figures = run(answer, periodic_arrivals([front], until), until)
    expected = answer.generators[0].reason.tokens_per_s  # type: ignore[union-attr]
    assert 0.85 * expected < figures.tokens_per_s <= expected
    assert figures.answered > 50 and 0 < figures.first_p50_ns <= figures.first_max_ns
    assert not outcome.missed.any()


def test_the_same_chance_gives_the_same_run() -> None:
    front = AnalysisTask("front", (3,), 10, 8)
    buckets = (Bucket(2, True, (1,)), Bucket(2, False, (2, 2)))
    asked = Generator("assistant", "main", buckets, KvShape(2, 50, 1))
    answer = judge(TaskSet((front,), ("main",), generators=(asked,)))
    runs = [run(answer, periodic_arrivals([front], 900), 900)[1] for _ in range(2)]
    assert runs[0] == runs[1]


def test_two_generators_share_what_is_left_and_both_count_for_the_bounds() -> None:
    front = AnalysisTask("front", (3_000,), 10_000, 8_000)
    one = Generator(
        "one", "main", (Bucket(2, True, (1_000,)), Bucket(1, False, (2_000,))), KvShape(1, 50, 1)
    )
    other = Generator(
        "other", "main", (Bucket(2, True, (1_000,)), Bucket(1, False, (5_001,))), KvShape(1, 50, 1)
    )
    alone = judge(TaskSet((front,), ("main",), generators=(one,)))
    both = judge(TaskSet((front,), ("main",), generators=(one, other)))
    assert alone.admitted and both.admitted
    rates = [each.reason.tokens_per_s for each in (*alone.generators, *both.generators)]  # type: ignore[union-attr]
    assert rates[1] == pytest.approx(rates[2]) and rates[1] < rates[0]
    bounds = [found.bound_of("front").bound_ns for found in (alone, both)]  # type: ignore[union-attr]
    assert bounds == [4_999, 8_000]
