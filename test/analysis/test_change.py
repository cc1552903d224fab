"""A running lane may be changed when, and only when, these functions say so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import (
    AnalysisTask,
    is_schedulable,
    restorable,
    safe_removal_ns,
    shed_order,
)
from aegis_ros.errors import ConfigError
from aegis_ros.simulation import Workload, periodic_arrivals, simulate, sporadic_arrivals
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

RANK = {Criticality.BEST_EFFORT: 0, Criticality.LOW: 1, Criticality.HIGH: 2}


def cut(jobs: Workload, task: int, from_ns: int, to_ns: int) -> Workload:
    """Keep of a task only the jobs that arrive in [from, to)."""
    return jobs.without(task, 0, from_ns).without(task, to_ns, 1 << 60)


@given(task_sets(), task_sets(most=1), st.integers(0, 2**32), st.integers(0, 500))
def test_a_newcomer_at_the_safe_instant_makes_nobody_late(
    tasks: list[AnalysisTask], newcomers: list[AnalysisTask], seed: int, removed_at: int
) -> None:
    newcomer = replace(newcomers[0], name="newcomer", jitter_ns=0)
    assume(is_schedulable(tasks) and is_schedulable([*tasks[1:], newcomer]))
    safe = safe_removal_ns(tasks, removed_at)
    assume(safe is not None)
    assert safe is not None and safe >= removed_at
    everyone = [*tasks, newcomer]
    generator = np.random.default_rng(seed)
    jobs = sporadic_arrivals(everyone, safe + 800, generator)
    jobs = cut(jobs, 0, 0, max(0, removed_at - tasks[0].jitter_ns))
    jobs = cut(jobs, len(tasks), safe, 1 << 60)
    assert not simulate(everyone, jobs).missed.any()


def test_the_last_deadline_of_a_removed_task_is_too_early() -> None:
    def of(name: str, budget: int, deadline: int) -> AnalysisTask:
        return AnalysisTask(name, (1,) * budget, 100, deadline)

    leaving, small = of("leaving", 5, 6), of("small", 1, 6)
    patient, newcomer = of("patient", 5, 11), of("newcomer", 5, 5)
    assert is_schedulable([leaving, small, patient])
    assert is_schedulable([newcomer, small, patient])

    def late(newcomer_at: int) -> bool:
        everyone = [leaving, small, patient, newcomer]
        starts = [4, 4, 8, newcomer_at]
        return bool(simulate(everyone, periodic_arrivals(everyone, 50, starts)).missed.any())

    assert late(newcomer_at=4 + leaving.deadline_ns)
    safe = safe_removal_ns([leaving, small, patient], 5)
    assert safe is not None and not late(newcomer_at=safe)


def test_an_idle_instant_that_was_seen_is_enough() -> None:
    task = AnalysisTask("a", (3,), 10, 10)
    assert safe_removal_ns([task], 5, idle_at_ns=7) == 7
    assert safe_removal_ns([task], 5, idle_at_ns=4) == 8  # it was before the removal
    assert safe_removal_ns([], 5) == 5


def test_a_lane_that_may_never_be_idle_gives_no_instant() -> None:
    tasks = [AnalysisTask("a", (11,), 10, 20)]
    assert safe_removal_ns(tasks, 5) is None


@st.composite
def levelled(draw: st.DrawFn) -> list[AnalysisTask]:
    return [
        replace(task, criticality=draw(st.sampled_from(list(Criticality))))
        for task in draw(task_sets())
    ]


@given(levelled(), st.sampled_from([0.3, 0.5, 0.7, 0.9, 1.0]))
def test_what_is_kept_passes_at_the_lower_speed_and_nothing_is_shed_in_vain(
    tasks: list[AnalysisTask], factor: float
) -> None:
    shed = shed_order(tasks, factor)
    slower = [
        replace(task, segments_ns=tuple(-int(-part // factor) for part in task.segments_ns))
        for task in tasks
    ]
    kept = [task for task in slower if task.name not in shed]
    assert is_schedulable(kept)
    levels = [RANK[next(t.criticality for t in tasks if t.name == name)] for name in shed]
    assert levels == sorted(levels)
    for task in slower:
        if task.name in shed:
            as_critical = [k for k in kept if RANK[k.criticality] >= RANK[task.criticality]]
            assert not is_schedulable([*as_critical, task])


@given(levelled())
def test_a_slower_device_never_needs_less_shedding_of_what_is_most_critical(
    tasks: list[AnalysisTask],
) -> None:
    high = {task.name for task in tasks if task.criticality is Criticality.HIGH}
    assume(high and not high & set(shed_order(tasks, 0.6)))
    assert not high & set(shed_order(tasks, 0.8))


def test_best_effort_goes_first_and_comes_back_last() -> None:
    tasks = [
        AnalysisTask("pilot", (10,), 100, 100),
        AnalysisTask("mapper", (30,), 100, 100, 0, Criticality.LOW),
        AnalysisTask("vlm", (40,), 100, 100, 0, Criticality.BEST_EFFORT),
    ]
    assert shed_order(tasks, 0.9) == ()
    assert shed_order(tasks, 0.5) == ("vlm",)
    assert shed_order(tasks, 0.25) == ("vlm", "mapper")
    assert restorable(tasks, ("vlm", "mapper"), 0.5) == ("mapper",)
    assert restorable(tasks, ("vlm", "mapper"), 0.9) == ("mapper", "vlm")
    assert restorable(tasks, ("vlm",), 0.81) == ()  # it would have to go again too soon


@pytest.mark.parametrize("factor", [0.0, -1.0, 1.1, float("nan"), float("inf")])
def test_a_speed_that_makes_no_sense_is_refused(factor: float) -> None:
    with pytest.raises(ConfigError, match="factor"):
        shed_order([AnalysisTask("a", (1,), 10, 10)], factor)
