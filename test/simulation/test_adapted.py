"""However a generator adapts, no task is late, and every request is answered once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.memory import KvShape
from aegis_ros.planning.answer import Answer, judge
from aegis_ros.planning.generator import Bucket, Generator
from aegis_ros.planning.task_set import TaskSet
from aegis_ros.rationale.adaptation import LimitChanged, OutOfMemory
from aegis_ros.scheduling.adaptation import (
    Controller,
    DefaultRules,
    Figures,
    Limits,
    Menu,
    Thresholds,
    Wish,
)
from aegis_ros.simulation import (
    AdaptedFigures,
    GivenRequest,
    Outcome,
    Workload,
    bursty_arrivals,
    periodic_arrivals,
    plan_of,
    simulate,
    sporadic_arrivals,
)
from test.task_sets import task_sets

MS = 1_000_000


class ByChance:
    """A policy that asks for anything of the menu, all the time."""

    def __init__(self, menu: Menu, seed: int) -> None:
        self._menu, self._chance = menu, np.random.default_rng(seed)

    def first(self) -> Limits:
        return self._any()

    def after(self, figures: Figures, limits: Limits) -> Wish:
        return Wish(self._any())

    def _any(self) -> Limits:
        precision = str(self._chance.choice(self._menu.precisions))
        return Limits(
            int(self._chance.choice(self._menu.chunks(precision))),
            int(self._chance.choice(self._menu.batches(precision))),
            int(self._chance.integers(2, self._menu.max_len + 1)),
            precision,
        )


def run(
    answer: Answer,
    arrivals: Workload,
    requests: list[GivenRequest],
    policy: Callable[[Menu], object] = DefaultRules,
    *,
    dwell_ns: int = 0,
    **given: object,
) -> tuple[Outcome, AdaptedFigures]:
    tasks, switch = answer.on_lane("main"), answer.asked.switch_ns
    (found,) = answer.generators
    controller = Controller("assistant", found.menu(), policy, dwell_ns=dwell_ns)  # type: ignore[arg-type]
    made = found.adapted(switch, requests=requests, controller=controller, **given)  # type: ignore[arg-type]
    jobs = arrivals.beside(made.workload(switch), len(tasks))
    own = set(np.nonzero(jobs.task == len(tasks))[0].tolist())
    outcome = simulate(
        [*tasks, made.task(switch)],
        jobs,
        switch_ns=switch,
        queue=[1_000_000] * len(tasks) + [1],
        plans=[*(plan_of(task, switch) for task in tasks), made.plan],
        outcome_of=lambda job, step, now: made.outcome(job, step, now) if job in own else None,
    )
    return outcome, made.figures()


@st.composite
def sets_with_a_generator(draw: st.DrawFn) -> TaskSet:
    parts = st.lists(st.integers(1, 12), min_size=1, max_size=3)
    buckets = [
        Bucket(size, prefill, tuple(draw(parts)), precision)
        for precision in ("", "int4")
        for size, prefill in ((2, True), (5, True), (1, False), (2, False), (4, False))
    ]
    cache = KvShape(draw(st.integers(1, 4)), draw(st.integers(2, 40)), 1)
    asked = Generator("assistant", "main", tuple(buckets), cache)
    return TaskSet(
        tuple(draw(task_sets(most=3))), ("main",), draw(st.integers(0, 1)), generators=(asked,)
    )


def requests_of(chance: np.random.Generator, count: int, until_ns: int) -> list[GivenRequest]:
    at = np.sort(chance.integers(0, until_ns, count))
    return [
        GivenRequest(int(when), int(chance.integers(1, 60)), int(chance.integers(1, 40)))
        for when in at
    ]


@given(sets_with_a_generator(), st.integers(0, 2**32))
def test_no_task_is_late_under_any_sequence_of_decisions(asked: TaskSet, seed: int) -> None:
    answer = judge(asked, advise=False)
    assume(answer.admitted)
    try:
        answer.generators[0].menu()
    except ValueError:
        assume(False)  # a chunk of one precision, and a decode of another one
    chance = np.random.default_rng(seed)
    tasks = answer.on_lane("main")
    bounds = np.array([answer.bound_of(task.name).bound_ns for task in tasks])  # type: ignore[union-attr]
    assert np.all(bounds <= [task.deadline_ns for task in tasks])
    offsets = [int(chance.integers(0, task.period_ns)) for task in tasks]
    for arrivals in (
        periodic_arrivals(tasks, 400, offsets),
        bursty_arrivals(tasks, 400),
        sporadic_arrivals(tasks, 400, chance),
    ):
        requests = requests_of(chance, 6, 300)
        outcome, figures = run(
            answer,
            arrivals,
            requests,
            lambda menu: ByChance(menu, seed),
            refuses=lambda request, tried, used: bool(chance.random() < 0.2),
        )
        assert np.all(outcome.worst_response_ns()[: len(tasks)] <= bounds)
        assert figures.answered + figures.refused == len(requests), "each ends exactly once"


def spoken(
    requests: list[GivenRequest], policy: Callable[[Menu], object] = DefaultRules, **given: object
) -> AdaptedFigures:
    buckets = (
        Bucket(2, True, (13 * MS,), "float32"),
        Bucket(8, True, (29 * MS,), "float32"),
        Bucket(1, False, (10 * MS,), "float32"),
        Bucket(4, False, (27 * MS,), "float32"),
        Bucket(2, True, (9 * MS,), "int8"),
        Bucket(1, False, (5 * MS,), "int8"),
    )
    asked = Generator("assistant", "main", buckets, KvShape(4, 1_000, 1))
    answer = judge(TaskSet((), ("main",), generators=(asked,)))
    nobody = Workload.of(*(np.zeros(0, np.int64),) * 3, [])
    _, figures = run(answer, nobody, requests, policy, **given)
    return figures


def test_every_request_is_answered_with_all_that_it_asked_for() -> None:
    chance = np.random.default_rng(3)
    requests = [
        GivenRequest(number * 300 * MS, int(chance.integers(1, 90)), int(chance.integers(1, 50)))
        for number in range(40)
    ]
    figures = spoken(requests)
    assert figures.answered == 40 and figures.tokens == sum(each.answer for each in requests)
    assert len(figures.first_ns) == 40 and figures.first_ns.min() > 0


def test_a_tight_arena_lets_fewer_run_and_a_free_one_more_again() -> None:
    def others(now_ns: int) -> int:
        return 7_000 if 2_000 * MS < now_ns < 8_000 * MS else 0

    figures = spoken(
        [GivenRequest(0, 5, 200)] * 20,
        lambda menu: DefaultRules(menu, Thresholds(calm_ns=10**12)),
        others_bytes=others,
        arena_bytes=10_000,
        dwell_ns=MS,
    )
    changed = [each for each in figures.reasons if isinstance(each, LimitChanged)]
    batches = [(each.before, each.after) for each in changed if each.limit == "batch"]
    assert batches == [(4, 1), (1, 4)]
    assert figures.answered == 20


def test_requests_that_wait_for_long_get_a_cheaper_precision_and_each_keeps_its_own() -> None:
    figures = spoken([GivenRequest(0, 5, 300)] * 30, dwell_ns=MS)
    changed = [each for each in figures.reasons if isinstance(each, LimitChanged)]
    assert ("precision", "float32", "int8") in [(x.limit, x.before, x.after) for x in changed]
    assert figures.answered == 30 and figures.tokens == 9_000


def test_memory_that_cannot_be_taken_costs_one_request_at_most() -> None:
    requests = [GivenRequest(0, 5, 20)] * 6
    figures = spoken(requests, refuses=lambda request, tried, used: request == 1)
    assert figures.refused == 1 and figures.answered == 5
    assert [type(each) for each in figures.reasons[:2]] == [LimitChanged, OutOfMemory]
    figures = spoken(requests, refuses=lambda request, tried, used: request == 1 and tried == 1)
    assert figures.refused == 0 and figures.answered == 6
