"""A whole job of high criticality may exceed its budget, and the lane sheds for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_modes
from aegis_ros.scheduling import VirtualDeadlines
from aegis_ros.simulation import plan_of, simulate, sporadic_arrivals
from aegis_ros.spec import Criticality
from test.task_sets import sets_with_totals

_UNTIL = 2_000


@given(sets_with_totals(most=3), st.integers(0, 2**32), st.data())
def test_what_passes_in_both_modes_is_on_time_when_a_whole_job_exceeds_its_budget(
    tasks: list[AnalysisTask], seed: int, data: st.DataObject
) -> None:
    mixed = []
    for index, task in enumerate(tasks):
        if index:
            mixed.append(replace(task, criticality=Criticality.LOW))
            continue
        more = sum(task.segments_ns) * 2
        least = max(task.work_ns, 2 * max(task.segments_ns))
        high = data.draw(st.integers(least, more))
        mixed.append(
            replace(
                task,
                high_segments_ns=tuple(2 * part for part in task.segments_ns),
                high_total_ns=high,
            )
        )
    modes = check_modes(mixed)
    assume(modes.verdict.schedulable)
    generator = np.random.default_rng(seed)
    low = sporadic_arrivals(mixed, _UNTIL, generator)
    worse = mixed[0].at_high()
    rows = [
        worse.execution_ns(*generator.permutation(len(worse.segments_ns)).tolist())
        for _ in range(8)
    ]
    hit = (low.task == 0) & (generator.random(len(low)) < 0.3)
    workload = replace(
        low,
        execution_ns=[
            rows[index % 8] if late else parts
            for index, (parts, late) in enumerate(zip(low.execution_ns, hit.tolist(), strict=True))
        ],
    )
    sheds = bool(modes.sheds)
    outcome = simulate(
        mixed,
        workload,
        policy=VirtualDeadlines({0: modes.virtual_ns[mixed[0].name]}) if sheds else None,
        low={0: plan_of(mixed[0])} if sheds else None,
    )
    bound = modes.verdict.responses[0].bound_ns
    counted = outcome.workload.task == 0 if sheds else np.ones(len(workload), bool)
    assert not (outcome.missed & counted).any()
    assert outcome.worst_response_ns()[0] <= bound
