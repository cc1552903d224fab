"""`lanes: auto` on a real GPU: all kinds of lanes are measured, and tasks admitted to the best."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from aegis_ros.backends import create_backend
from aegis_ros.errors import BackendError
from aegis_ros.orchestrator import LaneChooser, NodeState, Orchestrator
from aegis_ros.spec import OrchestratorSpec
from test.orchestrator.house import House


@pytest.fixture(params=["onnxruntime_cuda", "tensorrt"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    try:
        create_backend(name)
    except BackendError as error:
        if os.environ.get("AEGIS_REQUIRE_GPU") and name == "onnxruntime_cuda":
            raise
        pytest.skip(str(error))
    return name


def test_lanes_are_chosen_from_what_was_measured_and_the_tasks_are_admitted_there(
    tmp_path: Path, backend: str
) -> None:
    house = House(tmp_path)
    device = replace(house.spec.device, backend=backend, lanes=(), arena_bytes=1 << 30)
    tasks = tuple(
        house.task(name, wcet_ms=0, segments=1, period_ms=1000) for name in ("near", "far")
    )
    spec = OrchestratorSpec(replace(device, realtime_priority=0), house.spec.models, tasks)
    state = NodeState(tmp_path / "state", "/auto")
    chosen, why = LaneChooser(spec, state=state, node="/auto").choose()
    assert why is not None and why.chosen.assumed == 0
    labels = [each.label for each in (why.chosen, *why.others)]
    assert {"1 lane", "2 lanes", "3 lanes", "4 lanes"} <= set(labels)
    assert any("multiprocessors" in label for label in labels), labels
    orchestrator = Orchestrator(
        chosen,
        state_dir=tmp_path / "state",
        node="/auto",
        on_result=lambda _, result: result.release(),
        lanes_chosen=why,
        state=state,
    )
    answers = orchestrator.configure()
    try:
        assert [each.accepted for each in answers] == [True, True], answers
        placed = {each.spec.name: each.lane for each in orchestrator.status().tasks}
        assert placed == {task.name: task.lane for task in chosen.tasks}
    finally:
        orchestrator.cleanup()
