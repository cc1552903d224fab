"""What is of high criticality never misses, whatever overruns come: the simulator is the judge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from aegis_ros.analysis import (
    POLICIES,
    AnalysisTask,
    assign,
    check_modes,
    check_policy,
    counterfactuals,
)
from aegis_ros.analysis.modes import passes_modes
from aegis_ros.errors import ConfigError
from aegis_ros.scheduling import VirtualDeadlines
from aegis_ros.simulation import (
    Outcome,
    Workload,
    bursty_arrivals,
    periodic_arrivals,
    plan_of,
    simulate,
    sporadic_arrivals,
)
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

MS = 1_000_000
HIGH = Criticality.HIGH
PILOT = AnalysisTask("pilot", (3,), 20, 20, 0, HIGH, "", (7,))
MAPPER = AnalysisTask("mapper", (9,), 20, 20, 0, Criticality.LOW)
VLM = AnalysisTask("vlm", (1,), 40, 40, 0, Criticality.BEST_EFFORT)


@st.composite
def mixed_sets(draw: st.DrawFn) -> list[AnalysisTask]:
    tasks = []
    for task in draw(task_sets()):
        level = draw(st.sampled_from(list(Criticality)))
        parts = tuple(part + draw(st.integers(0, 2 * part + 2)) for part in task.segments_ns)
        slack = draw(st.integers(0, 60))
        tasks.append(
            replace(
                task,
                criticality=level,
                high_segments_ns=parts if level is HIGH else (),
                deadline_ns=task.deadline_ns + slack,
            )
        )
    return tasks


def overrun(
    tasks: list[AnalysisTask], jobs: Workload, chance: float, generator: np.random.Generator
) -> Workload:
    """Let some segments of high criticality take up to their high budgets."""
    executions = []
    for index, parts in zip(jobs.task.tolist(), jobs.execution_ns, strict=True):
        high = tasks[index].high_segments_ns or parts
        hit = generator.random() < chance
        executions.append(
            tuple(
                (most if generator.random() < 0.7 else int(generator.integers(part, most + 1)))
                if hit
                else part
                for part, most in zip(parts, high, strict=True)
            )
        )
    return Workload(jobs.task, jobs.arrival_ns, jobs.ready_ns, executions)


def run(
    tasks: list[AnalysisTask], jobs: Workload, virtual_ns: dict[str, int], switch: int
) -> Outcome:
    ids = {task.name: index for index, task in enumerate(tasks)}
    low = {
        index: plan_of(task, switch) for index, task in enumerate(tasks) if task.criticality is HIGH
    }
    policy = VirtualDeadlines({ids[name]: value for name, value in virtual_ns.items()})
    return simulate(tasks, jobs, switch_ns=switch, policy=policy, low=low if virtual_ns else None)


@given(mixed_sets(), st.integers(0, 2), st.integers(0, 2**32))
def test_admitted_sets_keep_their_promise_in_both_modes(
    tasks: list[AnalysisTask], switch: int, seed: int
) -> None:
    answer = check_modes(tasks, switch_ns=switch)
    assume(answer.verdict.schedulable)
    event("sheds" if answer.virtual_ns else "never sheds")
    generator = np.random.default_rng(seed)
    bound_of = {bound.task: bound.bound_ns for bound in answer.verdict.responses}
    promised = np.array([not task.best_effort for task in tasks])
    bounds = np.array([bound_of.get(task.name, 1 << 62) for task in tasks])
    is_high = np.array([task.criticality is HIGH for task in tasks])
    offsets = [int(generator.integers(0, task.period_ns)) for task in tasks]
    for jobs in (
        periodic_arrivals(tasks, 1_500, offsets),
        bursty_arrivals(tasks, 1_500),
        sporadic_arrivals(tasks, 1_500, generator),
    ):
        calm = run(tasks, jobs, answer.virtual_ns, switch)
        assert not ((calm.missed | calm.skipped) & promised[calm.workload.task]).any()
        for chance in (0.1, 0.5):
            rough = overrun(tasks, jobs, chance, generator)
            outcome = run(tasks, rough, answer.virtual_ns, switch)
            late = outcome.missed & promised[outcome.workload.task]
            assert not late.any()  # what is below is dropped, and never late
            assert not (outcome.skipped & is_high[outcome.workload.task]).any()
            assert np.all(outcome.worst_response_ns() <= bounds)


@given(mixed_sets(), st.integers(0, 2))
def test_both_entries_to_the_test_agree(tasks: list[AnalysisTask], switch: int) -> None:
    yes = check_modes(tasks, switch_ns=switch).verdict.schedulable
    assert passes_modes(tasks, switch_ns=switch) == yes


def test_a_set_that_needs_shedding_passes_and_says_in_which_order() -> None:
    answer = check_modes([VLM, PILOT, replace(MAPPER, segments_ns=(5, 5, 4))])
    assert answer.verdict.schedulable
    assert answer.sheds == ("vlm", "mapper")
    assert 3 <= answer.virtual_ns["pilot"] <= 13
    assert "dropped" in answer.verdict.sentence


def test_a_set_with_room_for_all_overruns_sheds_nothing() -> None:
    answer = check_modes([PILOT, MAPPER])
    assert answer.verdict.schedulable and not answer.sheds and not answer.virtual_ns


def test_a_set_that_is_late_even_when_all_else_is_dropped_is_rejected() -> None:
    eager = replace(PILOT, high_segments_ns=(18,))
    answer = check_modes([eager, replace(MAPPER, segments_ns=(5, 5, 4))])
    assert not answer.verdict.schedulable
    assert "even if all others are dropped" in answer.verdict.sentence


def test_a_set_that_is_late_without_overruns_is_rejected_for_that() -> None:
    answer = check_modes([PILOT, replace(MAPPER, segments_ns=(18,))])
    assert not answer.verdict.schedulable and "dropped" not in answer.verdict.sentence


@given(mixed_sets())
def test_higher_budgets_never_turn_no_into_yes_where_nothing_is_shed(
    tasks: list[AnalysisTask],
) -> None:
    answer = check_modes(tasks)
    assume(not answer.verdict.schedulable)
    assert not check_modes([task.at_high() for task in tasks]).verdict.schedulable


@pytest.mark.parametrize(
    ("budgets", "criticality"),
    [((2,), HIGH), ((3, 3), HIGH), ((5,), Criticality.LOW), ((5,), Criticality.BEST_EFFORT)],
)
def test_high_budgets_that_make_no_sense_are_refused(
    budgets: tuple[int, ...], criticality: Criticality
) -> None:
    with pytest.raises(ConfigError, match=r"pilot\.high_segments_ns"):
        replace(PILOT, criticality=criticality, high_segments_ns=budgets)


def test_admission_tests_both_modes() -> None:
    hot = replace(PILOT, high_segments_ns=(18,))
    assert assign([PILOT, MAPPER], ["main"]).schedulable
    assert not assign([hot, MAPPER], ["main"]).schedulable
    shedding = assign([PILOT, replace(MAPPER, segments_ns=(5, 5, 4))], ["main"])
    assert shedding.schedulable and shedding.modes["main"].sheds == ("mapper",)
    found = assign([hot, MAPPER], ["a", "b"])
    assert found.schedulable and found.lane_of["pilot"] != found.lane_of["mapper"]
    for policy in POLICIES:
        assert not check_policy([hot, MAPPER], policy=policy)[0].schedulable


def test_a_task_with_two_budgets_gets_advice_too() -> None:
    waits = AnalysisTask("waits", (2 * MS,), 10 * MS, 10 * MS)
    long = AnalysisTask("long", (12 * MS,), 100 * MS, 100 * MS, high_segments_ns=(24 * MS,))
    changes = {item.change for item in counterfactuals([waits, long], "long", ["main"])}
    assert "segments" in changes
