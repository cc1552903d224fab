"""Faults that can be put into a workload, and what they leave as it was."""

from __future__ import annotations

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.simulation import Workload, periodic_arrivals, simulate

TASKS = [AnalysisTask("camera", (2, 1), 10, 10), AnalysisTask("lidar", (4,), 20, 20)]
JOBS = periodic_arrivals(TASKS, 1_000)


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def of(jobs: Workload, task: int) -> list[tuple[int, ...]]:
    pairs = zip(jobs.task.tolist(), jobs.execution_ns, strict=True)
    return [parts for owner, parts in pairs if owner == task]


def test_jobs_come_in_the_order_in_which_they_become_ready() -> None:
    assert np.all(np.diff(JOBS.ready_ns) >= 0)
    assert len(JOBS) == 150 and int((JOBS.task == 1).sum()) == 50


def test_overruns_hit_about_as_many_jobs_as_asked_and_only_one_task() -> None:
    jobs = JOBS.with_overruns(0, 1.5, 0.5, chance())
    assert set(of(jobs, 0)) == {(2, 1), (3, 2)}
    assert 30 <= of(jobs, 0).count((3, 2)) <= 70
    assert of(jobs, 1) == of(JOBS, 1)
    assert JOBS.with_overruns(0, 1.5, 0.0, chance()).execution_ns == JOBS.execution_ns


def test_a_silent_sensor_has_no_jobs_for_that_time() -> None:
    jobs = JOBS.without(0, 100, 200)
    arrivals = jobs.arrival_ns[jobs.task == 0]
    assert arrivals.size == 90 and not ((arrivals >= 100) & (arrivals < 200)).any()


def test_lost_frames_are_jobs_that_never_come() -> None:
    jobs = JOBS.with_lost(0, 0.5, chance())
    assert 30 <= int((jobs.task == 0).sum()) <= 70
    assert int((jobs.task == 1).sum()) == 50
    assert len(JOBS.with_lost(0, 1.0, chance())) == 50


def test_late_frames_come_later_and_never_overtake() -> None:
    jobs = JOBS.with_late(0, 25, 0.5, chance())
    own = jobs.task == 0
    assert np.all(jobs.ready_ns[own] >= jobs.arrival_ns[own])
    assert np.all(np.diff(jobs.ready_ns[own]) >= 0) and np.all(np.diff(jobs.arrival_ns[own]) > 0)
    assert int((jobs.ready_ns - jobs.arrival_ns)[own].max()) <= 25
    assert np.all(np.diff(jobs.ready_ns) >= 0)
    assert simulate(TASKS, jobs).missed[own].any()
    assert not simulate(TASKS, JOBS).missed.any()


def test_execution_times_come_from_measured_runs() -> None:
    samples = np.array([[1, 1], [2, 1], [9, 9]], np.int64)
    jobs = JOBS.with_samples(0, samples, chance())
    assert set(of(jobs, 0)) == {(1, 1), (2, 1), (9, 9)}
    assert of(jobs, 1) == of(JOBS, 1)


def test_faults_in_an_empty_workload_are_none() -> None:
    empty = periodic_arrivals(TASKS, 0)
    assert not len(empty.with_late(0, 5, 1.0, chance()).with_lost(0, 1.0, chance()))
    assert not len(empty.with_samples(0, np.ones((3, 2), np.int64), chance()))
