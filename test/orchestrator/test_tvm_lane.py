"""Lanes of TVM and of ONNX Runtime in one engine: admitted from measured budgets, and on time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from aegis_ros.engine import JobResult
from aegis_ros.orchestrator import FrameTimes, Orchestrator
from aegis_ros.spec import LaneSpec, TaskSpec
from test.backends.extras import needs
from test.orchestrator.house import House

pytestmark = needs("tvm")

SHAPE = (16, 24, 3)
FRAMES = 5
PERIOD_MS = 5_000


def test_a_set_with_one_network_on_tvm_and_the_rest_on_onnx_runtime_is_on_time(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    heard: dict[str, list[tuple[JobResult, np.ndarray]]] = {}
    came = threading.Condition()

    def hear(spec: TaskSpec, result: JobResult) -> None:
        with came:
            heard.setdefault(spec.name, []).append((result, result.outputs["output"].copy()))
            came.notify_all()
        result.release()

    lanes = (LaneSpec("plain", backend="onnxruntime"), LaneSpec("compiled", backend="tvm"))
    device = replace(house.spec.device, lanes=lanes, arena_bytes=1 << 30, realtime_priority=0)
    orchestrator = Orchestrator(
        replace(house.spec, device=device), state_dir=tmp_path / "real", on_result=hear
    )
    orchestrator.configure()
    try:
        # Slow enough for any machine: what is on time is the engine's to say, not this test's.
        for name, lane in (("first", "plain"), ("second", "plain"), ("third", "compiled")):
            task = house.task(name, lane=lane, wcet_ms=0, period_ms=PERIOD_MS, deadline_ms=600_000)
            answer = orchestrator.register(task)
            assert answer.accepted, answer.rationale.sentence
            assert "measured budget" in answer.rationale.sentence
        placed = {task.spec.name: task.lane for task in orchestrator.status().tasks}
        assert placed == {"first": "plain", "second": "plain", "third": "compiled"}
        orchestrator.activate()
        # At the declared rate, until now: nobody waits for the next frame to be due.
        began = time.monotonic_ns() - FRAMES * PERIOD_MS * 1_000_000
        for number in range(FRAMES):
            came_ns = began + number * PERIOD_MS * 1_000_000
            for stream in orchestrator.intake.streams():
                taken = orchestrator.intake.take(stream.key, came_ns)
                assert taken is not None
                taken.array(SHAPE)[:] = 10 + number
                times = FrameTimes(0, came_ns, came_ns, came_ns)
                orchestrator.intake.commit(taken, SHAPE, times)
            with came:
                assert came.wait_for(
                    lambda: all(len(heard.get(each, ())) == number + 1 for each in placed),  # noqa: B023
                    100,
                )
    finally:
        orchestrator.cleanup()
    for name in placed:
        assert [result.seq for result, _ in heard[name]] == list(range(FRAMES))
        values = [output for _, output in heard[name]]
        assert [float(each.min()) for each in values] == [10.0 + each for each in range(FRAMES)]
        assert [float(each.max()) for each in values] == [10.0 + each for each in range(FRAMES)]
        assert all(result.finished_ns <= result.deadline_ns for result, _ in heard[name])
