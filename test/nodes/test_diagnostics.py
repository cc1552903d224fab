"""What /diagnostics says of lanes and tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aegis_ros.nodes.diagnostics import OK, WARN, Diagnosis, diagnose
from aegis_ros.orchestrator import OrchestratorState
from test.orchestrator.house import MS, House


def _said(state: OrchestratorState) -> dict[str, Diagnosis]:
    topics = {task.spec.input.topic: 1 for task in state.tasks}
    hz = {task.spec.name: 1e9 / task.spec.period_ns for task in state.tasks}
    told = diagnose(state, "active", (), topics, hz)
    return {item.name: item for item in told}


def _busy(state: OrchestratorState) -> OrchestratorState:
    lanes = tuple(replace(lane, utilization_measured=0.9) for lane in state.lanes)
    return replace(state, lanes=lanes)


def test_a_lane_busier_than_admitted_is_a_warning_unless_best_effort_fills_it(
    tmp_path: Path,
) -> None:
    house = House(tmp_path / "house")
    house.start()
    house.orchestrator.register(house.task("brake"))
    assert _said(_busy(house.orchestrator.status()))["lane lane0"].level == WARN
    house.orchestrator.register(house.task("caption", criticality="best_effort"))
    lane = _said(_busy(house.orchestrator.status()))["lane lane0"]
    assert lane.level == OK and "best effort in what is left" in lane.message
    assert lane.values["utilization_admitted"] == "0.1000"


def test_an_old_result_of_best_effort_is_told_by_its_age(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    house.start()
    house.orchestrator.register(house.task("caption", criticality="best_effort"))
    entry = next(iter(house.orchestrator._admitted))
    entry.statistics.received = 1
    house.orchestrator.published(1, 900 * MS, 5 * MS, met=False)
    state = house.orchestrator.status()
    stream = house.streams[-1]
    topics = {task.spec.input.topic: 1 for task in state.tasks}
    told = diagnose(state, "active", stream, topics, {"caption": 10.0})
    task = next(item for item in told if item.name == "task caption")
    assert task.level == OK
    assert task.message.endswith("up to 900 ms old; no deadline is promised")
