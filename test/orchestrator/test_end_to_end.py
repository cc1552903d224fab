"""The orchestrator as a library: a real engine, a real runtime, no ROS."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.engine import JobResult
from aegis_ros.orchestrator import FrameTimes, Orchestrator
from aegis_ros.spec import LaneSpec, TaskSpec
from test.backends.extras import require
from test.orchestrator.house import House


@pytest.mark.parametrize("backend", ["onnxruntime", "simulated", "openvino"])
def test_a_frame_becomes_a_result(tmp_path: Path, backend: str) -> None:
    """Of a whole network and of one that is cut."""
    require(backend)
    house = House(tmp_path)
    segments = {"whole": 1, "cut": 3}
    heard = {name: queue.Queue[np.ndarray]() for name in segments}

    def hear(spec: TaskSpec, result: JobResult) -> None:
        heard[spec.name].put(result.outputs["output"].copy())
        result.release()

    device = replace(house.spec.device, backend=backend, realtime_priority=0)
    orchestrator = Orchestrator(
        replace(house.spec, device=device), state_dir=tmp_path / "real", on_result=hear
    )
    orchestrator.configure()
    try:
        # What is measured fits into the period, whatever else this machine does.
        for name, parts in segments.items():
            task = house.task(name, wcet_ms=0, segments=parts, period_ms=10_000)
            answer = orchestrator.register(task)
            assert answer.accepted, answer.rationale.sentence
            assert "measured budget" in answer.rationale.sentence
            assert (f"it runs in {parts} segments" in answer.rationale.sentence) == (parts > 1)
        orchestrator.activate()
        intake = orchestrator.intake
        shape = (16, 24, 3)
        for stream in intake.streams():
            now = time.monotonic_ns()
            taken = intake.take(stream.key, now)
            assert taken is not None
            taken.array(shape)[:] = 7
            intake.commit(taken, shape, FrameTimes(0, now, now, now))
        for results in heard.values():
            output = results.get(timeout=100.0)
            assert output.shape == (1, 3, 8, 8)
            assert np.allclose(output, output.flat[0] if backend == "simulated" else 7.0)
    finally:
        orchestrator.cleanup()


def test_two_backends_run_in_one_engine_and_a_task_moves_between_them_while_it_runs(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    heard: dict[str, list[JobResult]] = {}
    came = threading.Condition()

    def hear(spec: TaskSpec, result: JobResult) -> None:
        result.release()
        with came:
            heard.setdefault(spec.name, []).append(result)
            came.notify_all()

    lanes = (LaneSpec("first"), LaneSpec("second", backend="onnxruntime"))
    device = replace(house.spec.device, lanes=lanes, realtime_priority=0)
    orchestrator = Orchestrator(
        replace(house.spec, device=device), state_dir=tmp_path / "real", on_result=hear
    )
    orchestrator.configure()

    def feed(name: str) -> None:
        intake = orchestrator.intake
        (stream,) = [each for each in intake.streams() if name in intake.fed_by(each.key)]
        taken = intake.take(stream.key, time.monotonic_ns())
        assert taken is not None
        shape = (16, 24, 3)
        taken.array(shape)[:] = 7
        now = time.monotonic_ns()
        intake.commit(taken, shape, FrameTimes(0, now, now, now))

    def wait(name: str, count: int) -> None:
        with came:
            assert came.wait_for(lambda: len(heard.get(name, ())) == count, 100)

    def lane_of(name: str) -> str:
        return next(task.lane for task in orchestrator.status().tasks if task.spec.name == name)

    try:
        # Declared budgets, so that no machine is slow enough to change what fits where.
        mover = house.task("mover", wcet_ms=60, period_ms=200)
        pinned = house.task("pinned", wcet_ms=70, lane="second")
        assert orchestrator.register(mover).accepted and lane_of("mover") == "first"
        orchestrator.activate()
        feed("mover")
        wait("mover", 1)
        # Beside 60 ms nothing of 70 ms fits into 100 ms; on the other lane the first one fits.
        answer = orchestrator.register(replace(pinned, name="urgent", lane="first"))
        assert answer.accepted, answer.rationale.sentence
        assert (lane_of("mover"), lane_of("urgent")) == ("second", "first")
        assert "mover moves from lane first to second" in answer.rationale.sentence
        assert not orchestrator.register(pinned).accepted
        time.sleep(0.2)  # its declared rate
        feed("mover")
        feed("urgent")
        wait("mover", 2)
        wait("urgent", 1)
        assert [result.seq for result in heard["mover"]] == [0, 1]
    finally:
        orchestrator.cleanup()
