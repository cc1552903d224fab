"""The simulator does what an engine with one lane would."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask, check_lane
from aegis_ros.errors import ConfigError
from aegis_ros.scheduling import Edf, Job, SegmentPlan, VirtualDeadlines
from aegis_ros.simulation import (
    Workload,
    critical_arrivals,
    periodic_arrivals,
    simulate,
    sporadic_arrivals,
    traced_arrivals,
)
from aegis_ros.spec import Criticality
from test.task_sets import task_sets

FAST = AnalysisTask("fast", (2,), 10, 10)
LONG = AnalysisTask("long", (6, 6), 40, 40)


def test_a_more_urgent_job_takes_over_between_segments() -> None:
    outcome = simulate([FAST, LONG], periodic_arrivals([FAST, LONG], 20, [1, 0]), keep_runs=True)
    assert [(run.start_ns, run.end_ns) for run in outcome.runs] == [
        (0, 6),
        (6, 8),
        (8, 14),
        (14, 16),
    ]
    assert outcome.busy_ns == 16 and outcome.end_ns == 16 and outcome.utilization == 1.0


def test_a_switch_is_paid_for_every_segment() -> None:
    outcome = simulate([LONG], periodic_arrivals([LONG], 40), switch_ns=3)
    assert outcome.finished_ns.tolist() == [18]


def test_the_oldest_waiting_job_makes_room_in_a_full_queue() -> None:
    jobs = periodic_arrivals([FAST, AnalysisTask("hog", (45,), 100, 100)], 50)
    tasks = [FAST, AnalysisTask("hog", (45,), 100, 100)]
    urgent = simulate(tasks, jobs, queue=1)
    kept = simulate(tasks, jobs)
    assert not kept.skipped.any()
    assert urgent.skipped.sum() == 3  # of those at 10, 20, 30 and 40 only the last waits
    assert urgent.response_ns[urgent.skipped].tolist() == [-1, -1, -1]
    assert urgent.figures()[0].skipped == 3


@given(task_sets(), st.integers(0, 3), st.integers(0, 2**32))
def test_runs_never_overlap_and_add_up(tasks: list[AnalysisTask], switch: int, seed: int) -> None:
    jobs = sporadic_arrivals(tasks, 800, np.random.default_rng(seed))
    outcome = simulate(tasks, jobs, switch_ns=switch, keep_runs=True)
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(outcome.runs))
    assert sum(run.end_ns - run.start_ns for run in outcome.runs) == outcome.busy_ns
    assert not outcome.skipped.any()
    need = sum(sum(parts) + switch * len(parts) for parts in jobs.execution_ns)
    assert outcome.busy_ns == need
    assert np.all(outcome.started_ns >= jobs.ready_ns)


@given(task_sets(), st.integers(0, 2**32))
def test_the_lane_is_never_idle_while_a_job_is_ready(tasks: list[AnalysisTask], seed: int) -> None:
    jobs = sporadic_arrivals(tasks, 500, np.random.default_rng(seed))
    outcome = simulate(tasks, jobs, keep_runs=True)
    for one, other in pairwise(outcome.runs):
        if one.end_ns < other.start_ns:
            pending = (jobs.ready_ns <= one.end_ns) & (outcome.finished_ns > one.end_ns)
            assert not pending.any()
            assert (jobs.ready_ns == other.start_ns).any()


def test_the_same_seed_gives_the_same_run() -> None:
    def run() -> list[int]:
        jobs = sporadic_arrivals([FAST, LONG], 5_000, np.random.default_rng(7))
        return [int(end) for end in simulate([FAST, LONG], jobs).finished_ns]

    assert run() == run()


def test_low_criticality_is_shed_until_the_lane_is_idle() -> None:
    pilot = AnalysisTask("pilot", (2,), 20, 20, high_segments_ns=(5,))
    others = [
        AnalysisTask("mapper", (3,), 10, 10, 0, Criticality.LOW),
        AnalysisTask("vlm", (3,), 20, 20, 0, Criticality.BEST_EFFORT),
    ]
    tasks = [pilot, *others]
    jobs = periodic_arrivals(tasks, 40)
    rough = Workload(
        jobs.task,
        jobs.arrival_ns,
        jobs.ready_ns,
        [
            (5,) if owner == 0 and arrival == 0 else parts
            for owner, arrival, parts in zip(
                jobs.task.tolist(), jobs.arrival_ns.tolist(), jobs.execution_ns, strict=True
            )
        ],
    )
    outcome = simulate(tasks, rough, policy=VirtualDeadlines({0: 4}), low={0: SegmentPlan(1, (2,))})
    dropped = [
        (tasks[task].name, int(arrival))
        for task, arrival, skipped in zip(
            rough.task.tolist(), rough.arrival_ns.tolist(), outcome.skipped.tolist(), strict=True
        )
        if skipped
    ]
    assert dropped == [("mapper", 0), ("vlm", 0)]  # at 5 the lane was idle, and all is well again


def test_a_recorded_stream_keeps_its_contract_or_loses_frames() -> None:
    task = AnalysisTask("camera", (1,), 10, 10, 2)
    jobs = traced_arrivals([task], {"camera": [0, 9, 12, 18, 40, 41]})
    assert jobs.ready_ns.tolist() == [0, 9, 18, 40]  # 12 and 41 come too early
    assert np.all(jobs.ready_ns - jobs.arrival_ns <= task.jitter_ns)
    assert np.all(np.diff(jobs.arrival_ns) >= task.period_ns)
    assert not len(traced_arrivals([task], {}))


def test_the_critical_pattern_shows_the_miss() -> None:
    tasks = [FAST, AnalysisTask("hog", (12,), 40, 40)]
    verdict = check_lane(tasks)
    assert verdict.witness is not None and not verdict.schedulable
    outcome = simulate(tasks, critical_arrivals(tasks, verdict.witness))
    assert outcome.missed.any() and outcome.figures()[0].missed == 1


def test_nothing_to_do_is_not_an_error() -> None:
    outcome = simulate([FAST], periodic_arrivals([FAST], 0))
    assert outcome.utilization == 0.0 and outcome.end_ns == 0
    assert outcome.figures()[0].jobs == 0 and outcome.worst_response_ns().tolist() == [-1]


class _Hesitant(Edf):
    """Holds each job for a nanosecond, so and so often."""

    idles = True

    def __init__(self, times: int) -> None:
        self.left = times

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        self.left -= 1
        return now_ns + 1 if self.left >= 0 else 0


@pytest.mark.parametrize("lanes", [[0, 0], [0, 1]])
def test_a_policy_that_holds_jobs_for_moments_without_end_is_an_error(lanes: list[int]) -> None:
    tasks = [AnalysisTask("a", (3,), 1_000_000, 1_000_000), AnalysisTask("b", (2,), 50, 50)]
    jobs = periodic_arrivals(tasks[:1], 3_000_000).beside(periodic_arrivals(tasks[1:], 40), 1)
    with pytest.raises(ConfigError, match=r"policy: lanes were held 100,000 times.*_Hesitant"):
        simulate(tasks, jobs, lanes=lanes, policy=_Hesitant(1 << 62))
    outcome = simulate(tasks, jobs, lanes=lanes, policy=_Hesitant(1_000))
    assert (outcome.finished_ns > 0).all()


def test_a_policy_that_never_starts_a_job_ends_without_it() -> None:
    class Never(Edf):
        idles = True

        def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
            return now_ns + (1 << 62)

    tasks = [AnalysisTask("a", (3,), 1, 1)]
    jobs = periodic_arrivals(tasks, 150_000)
    assert (simulate(tasks, jobs, policy=Never()).finished_ns == -1).all()
