from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.config import parse_config
from benchmarks.compare.figures import figure_rows, goals, lane_of, task_row
from benchmarks.compare.workload import Task, Workload
from benchmarks.gpu.workload import workload
from benchmarks.stack.workload import WORKLOAD

_COST_MS = {
    "direction": 2.0,
    "orientation": 5.0,
    "faces": 40.0,
    "text_areas": 45.0,
    "text_lines": 17.0,
}


def _load(tasks: list[Task]) -> float:
    return sum(_COST_MS[task.network] / task.period_ms for task in tasks)


_GPU = workload({"backend": "tensorrt", "switch_ms": 0.1}, None, 2)


@given(st.sampled_from([WORKLOAD, _GPU]), st.floats(0.3, 0.99), st.sampled_from([1.0, 1.5]))
def test_the_tasks_take_the_load_that_was_asked_for(
    runs: Workload, load: float, stretch: float
) -> None:
    tasks = runs.tasks_at(load, _COST_MS, stretch)
    assert _load(tasks) == pytest.approx(load, abs=1e-3)
    assert {task.name for task in tasks} == set(runs.networks)
    for task in tasks:
        network = runs.networks[task.network]
        follows = task.period_ms * (stretch if network.patient else 1.0)
        assert task.deadline_ms == pytest.approx(network.deadline_ms or follows, abs=1e-3)


def test_beyond_the_lane_only_low_tasks_are_added_to_what_is_proven() -> None:
    tasks = WORKLOAD.tasks_at(1.3, _COST_MS)
    assert _load(tasks) == pytest.approx(1.3, abs=1e-3)
    proven = WORKLOAD.tasks_at(WORKLOAD.provable, _COST_MS)
    assert [task for task in tasks if not task.extra] == proven
    extra = [task for task in tasks if task.extra]
    assert {task.name for task in extra} == set(WORKLOAD.extras)
    assert {task.criticality for task in extra} == {"low"}


def test_small_networks_that_fill_the_load_alone_are_refused() -> None:
    with pytest.raises(SystemExit, match="small networks alone"):
        WORKLOAD.tasks_at(0.1, _COST_MS)


def test_given_periods_stay_on_a_machine_that_is_fast_enough() -> None:
    assert WORKLOAD.slowdowns(0.8, _COST_MS)[0] == 1.0


@given(st.floats(1.0, 30.0), st.sampled_from([0.6, 0.8, 0.95, 1.3]))
def test_given_periods_grow_until_all_fits_on_a_slow_machine(slower: float, load: float) -> None:
    cost_ms = {name: slower * each for name, each in _COST_MS.items()}
    for slowdown in WORKLOAD.slowdowns(load, cost_ms):
        tasks = WORKLOAD.tasks_at(load, cost_ms, slowdown=slowdown)
        asked = sum(cost_ms[task.network] / task.period_ms for task in tasks)
        assert asked == pytest.approx(load, abs=1e-3)
        urgent = tasks[0]
        assert urgent.period_ms == pytest.approx(40.0 * slowdown)
        assert urgent.deadline_ms == pytest.approx(40.0 * slowdown)


def test_a_summary_gives_the_figures_of_a_page() -> None:
    row = {"criticality": "high", "frames": 10, "late": 1, "without": 2, "max_over_deadline": 1.5}
    machine = {"dispatch_p50_us": 1.0, "dispatch_p99_us": 2.0, "dispatch_max_us": 3.0}
    summary: dict[str, Any] = {"0.8": {"rows": {"aegis": {"one": row}}, "machine": {}}}
    summary["0.8"]["machine"]["aegis"] = machine | {"lane_lost": 0.01}
    found = {each.name.split(": ")[1]: each for each in figure_rows(summary, {"aegis": "ours"})}
    bad = found["frames of high criticality late or without a result"]
    assert (bad.p50, bad.unit) == (3, "of 10")
    assert found["slowest of their responses over its deadline"].p50 == 1.5
    assert found["release to start on a free lane"].max == 3.0
    assert found["lane time lost to dispatch and switching"].p50 == 1.0


@pytest.mark.parametrize("runs", [WORKLOAD, _GPU])
def test_the_configuration_is_one_the_orchestrator_takes(runs: Workload) -> None:
    tasks = runs.tasks_at(1.3, _COST_MS)
    values = runs.configuration(tasks, trace="run.mcap", latency_ms=2.0)
    spec = parse_config(json.dumps(values), "stack")
    assert [task.name for task in spec.tasks] == [task.name for task in tasks]
    assert spec.tasks[0].period_ns == round(tasks[0].period_ms * 1e6)


def _part(jobs: list[tuple[int, int, int]], execution_ms: list[float]) -> SimpleNamespace:
    released, started, finished = (np.array(each, np.int64) for each in zip(*jobs, strict=True))
    return SimpleNamespace(
        released_ns=released,
        started_ns=started,
        finished_ns=finished,
        execution_ms=np.array(execution_ms),
    )


def test_lane_time_in_which_a_job_waits_and_nothing_runs_is_lost() -> None:
    ms = 1_000_000
    one = _part([(0, 1 * ms, 11 * ms), (1000 * ms, 1000 * ms + 100_000, 1010 * ms)], [10.0, 9.9])
    other = _part([(5 * ms, 11 * ms, 21 * ms)], [9.0])
    item: Any = SimpleNamespace(seconds=1.0, tasks={"one": one, "other": other})
    lane = lane_of(item)
    assert lane is not None
    assert lane.busy == pytest.approx(0.031)
    assert lane.executing == pytest.approx(0.0289)
    assert lane.lost == pytest.approx(2.1 / 31.0)
    assert lane.dispatch_us.tolist() == [100.0]  # the first of a round has an unknown past


def test_a_frame_left_out_and_reported_is_counted_apart_from_one_that_vanished() -> None:
    task = Task("one", "faces", "/one", 100.0, 50.0, "high")
    part: Any = SimpleNamespace(
        frames=5,
        without=2,
        reported=1,
        replaced=0,
        refused="",
        response_ms=np.array([10.0, 20.0, 60.0]),
        execution_ms=np.array([5.0, 5.0, 5.0]),
        ended_ms=np.array([9.0, 19.0, 59.0]),
        ready_ms=np.array([1.0, WORKLOAD.jitter_ms + 1.0, 2.0]),
        bound_ms=40.0,
    )
    row = task_row(task, [part], WORKLOAD.jitter_ms)
    assert (row["frames"], row["late"], row["without"], row["reported"]) == (5, 1, 2, 1)
    assert (row["beyond_bound"], row["beyond_jitter"], row["worst_ms"]) == (1, 1, 59.0)
    machine = {"aegis": {"seconds": 60.0, "lane_lost": 0.01}}
    found = goals({"0.8": {"rows": {"aegis": {"one": row}}, "machine": machine}}, WORKLOAD)
    met = {what.split(": ", 1)[1]: ok for what, _, ok in found}
    assert not met["every frame left out is reported"]
    assert met["lane time lost to dispatch and switching below 2 %"]
