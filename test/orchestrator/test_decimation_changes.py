"""Nobody is late while tasks change how many frames they take; the simulator is the judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from aegis_ros.analysis import (
    AnalysisTask,
    decimated,
    find_decimation,
    is_schedulable,
    safe_removal_ns,
)
from aegis_ros.orchestrator.fed_task import FrameDecimation
from aegis_ros.simulation import Workload, periodic_arrivals, simulate, sporadic_arrivals
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

Decimations = dict[str, list[tuple[int, FrameDecimation]]]  # by task, since when it has which


def taken(jobs: Workload, tasks: Sequence[AnalysisTask], decimations: Decimations) -> Workload:
    """Keep the frames that the intake would make jobs of."""
    kept = []
    passed_by = [64] * len(tasks)
    for index in range(len(jobs)):
        task, now = int(jobs.task[index]), int(jobs.ready_ns[index])
        found = [own for since, own in decimations[tasks[task].name] if since <= now]
        if not found or now < found[-1].opens_ns:
            continue
        passed_by[task] += 1
        if passed_by[task] >= found[-1].at(now):
            passed_by[task] = 0
            kept.append(index)
    return Workload.of(
        jobs.task[kept],
        jobs.arrival_ns[kept],
        jobs.ready_ns[kept],
        [jobs.execution_ns[index] for index in kept],
    )


@given(
    task_sets(most=4),
    task_sets(most=1),
    st.integers(0, 2**32),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_a_newcomer_for_whom_others_are_decimated_and_its_leaving_make_nobody_late(
    tasks: list[AnalysisTask],
    newcomers: list[AnalysisTask],
    seed: int,
    joins_ns: int,
    stays_ns: int,
) -> None:
    tasks = [replace(task, criticality=Criticality.LOW) for task in tasks]
    newcomer = replace(newcomers[0], name="newcomer")
    if not is_schedulable(tasks):
        return
    everyone = [*tasks, newcomer]
    factors = find_decimation(everyone, {task.name: 8 for task in tasks})
    opens_ns = safe_removal_ns(tasks, joins_ns)
    if factors is None or opens_ns is None:
        return
    running = decimated(everyone, factors)
    leaves_ns = joins_ns + stays_ns
    back_ns = safe_removal_ns(running, max(leaves_ns, opens_ns))
    if back_ns is None:
        return
    event(f"decimated: {bool(factors)}")
    decimations: Decimations = {}
    for task in tasks:
        n = factors.get(task.name, 1)
        decimations[task.name] = [
            (-1, FrameDecimation()),
            (joins_ns, FrameDecimation(n, n, opens_ns)),
            (leaves_ns, FrameDecimation(n, 1, back_ns)),
        ]
    decimations["newcomer"] = [(joins_ns, FrameDecimation(opens_ns=opens_ns))]
    until_ns = back_ns + 600
    for jobs in (
        sporadic_arrivals(everyone, until_ns, np.random.default_rng(seed)),
        periodic_arrivals(everyone, until_ns),
    ):
        jobs = jobs.without(len(tasks), leaves_ns - newcomer.jitter_ns, until_ns)
        assert not simulate(everyone, taken(jobs, everyone, decimations)).missed.any()


def test_a_newcomer_that_does_not_wait_for_what_is_pending_makes_somebody_late() -> None:
    urgent = AnalysisTask("urgent", (1,) * 9, 23, 23)
    patient = AnalysisTask("patient", (1,) * 6, 11, 12, 0, Criticality.LOW)
    newcomer = AnalysisTask("newcomer", (1,) * 6, 30, 11)
    everyone = [urgent, patient, newcomer]
    assert is_schedulable([urgent, patient]) and is_schedulable(decimated(everyone, {"patient": 4}))
    joins_ns = 13
    jobs = periodic_arrivals(everyone, 600, [0, 0, joins_ns])

    def late(opens_ns: int) -> bool:
        decimations: Decimations = {
            "urgent": [(-1, FrameDecimation())],
            "patient": [(-1, FrameDecimation()), (joins_ns, FrameDecimation(4, 4))],
            "newcomer": [(-1, FrameDecimation(opens_ns=opens_ns))],
        }
        return bool(simulate(everyone, taken(jobs, everyone, decimations)).missed.any())

    safe_ns = safe_removal_ns([urgent, patient], joins_ns)
    assert safe_ns is not None
    assert late(joins_ns) and not late(safe_ns)
