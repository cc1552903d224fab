"""The orchestrator as a library: a real engine, a real runtime, no ROS."""

from __future__ import annotations

import queue
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.engine import JobResult
from aegis_ros.orchestrator import FrameTimes, Orchestrator
from aegis_ros.spec import TaskSpec
from test.orchestrator.house import House


@pytest.mark.parametrize(
    ("backend", "segments"), [("onnxruntime", 1), ("onnxruntime", 3), ("simulated", 3)]
)
def test_a_frame_becomes_a_result(tmp_path: Path, backend: str, segments: int) -> None:
    house = House(tmp_path)
    heard: queue.Queue[np.ndarray] = queue.Queue()

    def hear(spec: TaskSpec, result: JobResult) -> None:
        heard.put(result.outputs["output"].copy())
        result.release()

    device = replace(house.spec.device, backend=backend, realtime_priority=0)
    orchestrator = Orchestrator(
        replace(house.spec, device=device), state_dir=tmp_path / "real", on_result=hear
    )
    orchestrator.configure()
    try:
        answer = orchestrator.register(house.task(wcet_ms=0, segments=segments))
        assert answer.accepted, answer.rationale.sentence
        assert "measured budget" in answer.rationale.sentence
        assert (f"it runs in {segments} segments" in answer.rationale.sentence) == (segments > 1)
        orchestrator.activate()
        intake = orchestrator.intake
        (stream,) = intake.streams()
        now = time.monotonic_ns()
        taken = intake.take(stream.key, now)
        assert taken is not None
        shape = (16, 24, 3)
        taken.array(shape)[:] = 7
        intake.commit(taken, shape, FrameTimes(0, now, now, now))
        output = heard.get(timeout=30)
        assert output.shape == (1, 3, 8, 8)
        assert np.allclose(output, 7.0 if backend == "onnxruntime" else output.flat[0])
    finally:
        orchestrator.cleanup()
