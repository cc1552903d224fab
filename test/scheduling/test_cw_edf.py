"""CW-EDF idles for a job that is about to come, and only where that helps."""

from __future__ import annotations

import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.scheduling import CwEdf, Scheduler, SegmentPlan
from aegis_ros.simulation import periodic_arrivals, simulate

# Nasri & Fohler 2016, figure 2: work-conserving EDF cannot run it.
TASKS = [
    AnalysisTask("fast", (3,), 10, 10),
    AnalysisTask("middle", (6,), 12, 12),
    AnalysisTask("long", (8,), 60, 60),
]


def test_the_lane_idles_before_a_long_job_that_would_make_the_next_one_late() -> None:
    outcome = simulate(TASKS, periodic_arrivals(TASKS, 60), policy=CwEdf(), keep_runs=True)
    assert not outcome.missed.any()
    assert [(run.start_ns, run.end_ns) for run in outcome.runs[:4]] == [
        (0, 3),
        (3, 9),
        (10, 13),  # idle from 9 on: the long job would hold the lane until 17
        (13, 19),
    ]


def test_jobs_that_end_early_leave_the_schedule_as_it_is() -> None:
    full = simulate(TASKS, periodic_arrivals(TASKS, 600), policy=CwEdf())
    jobs = periodic_arrivals(TASKS, 600)
    short = type(jobs)(jobs.task, jobs.arrival_ns, jobs.ready_ns, [(1,)] * len(jobs))
    early = simulate(TASKS, short, policy=CwEdf())
    assert early.started_ns.tolist() == full.started_ns.tolist()


def test_a_task_that_fell_silent_is_not_waited_for() -> None:
    jobs = periodic_arrivals(TASKS, 60).without(0, 10, 60)
    outcome = simulate(TASKS, jobs, policy=CwEdf())
    long = outcome.workload.task == 2
    assert outcome.started_ns[long].tolist() == [10]  # and no later


@pytest.mark.parametrize(
    ("period", "deadline", "budgets"), [(0, 10, (3,)), (10, 0, (3,)), (10, 10, ())]
)
def test_a_task_that_cannot_be_foreseen_is_refused(
    period: int, deadline: int, budgets: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError):
        Scheduler(1, CwEdf()).add_task(
            0, lane=0, period_ns=period, deadline_ns=deadline, plan=SegmentPlan(1, budgets)
        )
