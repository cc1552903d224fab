"""The table starts what has a place at its place, and lets the rest into the gaps."""

from __future__ import annotations

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.scheduling import Scheduler, SegmentPlan, Slot, Table
from aegis_ros.simulation import Outcome, Workload, simulate
from aegis_ros.spec import Criticality

CAMERA = AnalysisTask("camera", (3,), 10, 10, 2)
LIDAR = AnalysisTask("lidar", (4,), 20, 20, 0)
VLM = AnalysisTask("vlm", (3,), 40, 40, 0, Criticality.BEST_EFFORT)
PLACES = [Slot(0, 0, 0, 2, 5), Slot(1, 0, 0, 5, 9), Slot(0, 1, 0, 12, 15)]


def run(jobs: list[tuple[int, int, int, int]], table: Table | None = None) -> Outcome:
    """Simulate jobs given as (task, arrival, ready, execution), in the order of readiness."""
    columns = np.array(jobs, np.int64).T
    workload = Workload(columns[0], columns[1], columns[2], [(job[3],) for job in jobs])
    policy = table or Table({0: PLACES}, 20)
    return simulate([CAMERA, LIDAR, VLM], workload, policy=policy, keep_runs=True)


def test_a_job_starts_at_its_place_even_when_the_lane_is_idle_before() -> None:
    assert run([(1, 0, 0, 4)]).started_ns.tolist() == [5]
    assert run([(1, 20, 20, 4), (0, 30, 31, 3)]).started_ns.tolist() == [25, 32]


def test_a_job_that_is_late_for_its_place_delays_nobody() -> None:
    outcome = run([(1, 0, 0, 4), (0, 0, 6, 3)])
    assert outcome.started_ns.tolist() == [5, 9]
    outcome = run([(0, 10, 11, 3), (0, 0, 11, 3)])  # two at once: the first gap takes the late one
    assert sorted(outcome.started_ns.tolist()) == [12, 15]


def test_others_run_only_where_they_end_before_the_next_place() -> None:
    assert run([(2, 0, 0, 3)]).started_ns.tolist() == [6]  # nobody came for the place at 5
    assert run([(0, 0, 0, 3), (1, 0, 0, 4), (2, 0, 0, 3)]).started_ns.tolist() == [2, 5, 9]


def test_a_gap_that_is_as_long_as_a_segment_is_used() -> None:
    assert run([(2, 9, 9, 3)]).started_ns.tolist() == [9]
    assert run([(2, 10, 10, 3)]).started_ns.tolist() == [13]


def test_a_stamp_a_whole_jitter_early_finds_the_right_place() -> None:
    # What a rate gate tells of an arrival at 10 that came at once.
    assert run([(0, 8, 10, 3)]).started_ns.tolist() == [12]


def test_the_epoch_moves_every_place() -> None:
    table = Table({0: PLACES}, 20, epoch_ns=7)
    assert run([(1, 7, 7, 4), (0, 17, 18, 3)], table).started_ns.tolist() == [12, 19]


def test_a_place_beyond_the_cycle_runs_in_the_next() -> None:
    table = Table({0: [Slot(1, 0, 0, 21, 25)]}, 20)
    assert run([(1, 0, 0, 4), (1, 20, 20, 4)], table).started_ns.tolist() == [21, 41]


@pytest.mark.parametrize(
    "places",
    [
        [Slot(0, 0, 0, 0, 5), Slot(1, 0, 0, 4, 8)],
        [Slot(0, 0, 0, 18, 22), Slot(1, 0, 0, 1, 3)],
        [Slot(0, 0, 0, 0, 25)],
        [Slot(0, 0, 0, -1, 2)],
        [Slot(0, 0, 0, 3, 3)],
    ],
)
def test_a_table_that_cannot_be_run_is_refused(places: list[Slot]) -> None:
    with pytest.raises(ConfigError):
        Table({0: places}, 20)


@pytest.mark.parametrize(
    ("period", "jitter", "budgets"), [(7, 0, (3,)), (0, 0, (3,)), (10, 10, (3,)), (10, 0, ())]
)
def test_a_task_without_a_place_in_the_table_is_refused(
    period: int, jitter: int, budgets: tuple[int, ...]
) -> None:
    scheduler = Scheduler(1, Table({0: PLACES}, 20))
    with pytest.raises(ConfigError):
        scheduler.add_task(
            0, lane=0, period_ns=period, jitter_ns=jitter, plan=SegmentPlan(1, budgets)
        )


def test_each_lane_has_a_cycle_of_its_own() -> None:
    table = Table({0: [Slot(0, 0, 0, 1, 4)], 1: [Slot(1, 0, 0, 2, 9)]}, {0: 10, 1: 30})
    scheduler = Scheduler(2, table)
    scheduler.add_task(0, lane=0, period_ns=10, plan=SegmentPlan(1, (3,)))
    scheduler.add_task(1, lane=1, period_ns=30, plan=SegmentPlan(1, (7,)))
