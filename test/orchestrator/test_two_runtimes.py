"""One network on OpenVINO, the others on ONNX Runtime: one engine, one proof, all on time."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.engine import JobResult
from aegis_ros.orchestrator import FrameTimes, Orchestrator
from aegis_ros.spec import LaneSpec, TaskSpec
from aegis_ros.wcet import ProfileStore
from test.backends.extras import needs
from test.given_back import give_back_at_the_end
from test.orchestrator.house import House

pytestmark = needs("openvino")
PERIOD_MS = 5_000  # what is measured fits into it, whatever else this machine does
FRAMES = 4
SHAPE = (16, 24, 3)
TASKS = {"on_openvino": "vino", "first": "ort", "second": "ort"}


class Set:
    """The tasks on their lanes, and what came of their frames."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder)
        self.state = folder / "real"
        self.results: dict[str, list[tuple[bool, np.ndarray]]] = {name: [] for name in TASKS}
        self.came = threading.Condition()
        lanes = (LaneSpec("vino", backend="openvino"), LaneSpec("ort", backend="onnxruntime"))
        device = replace(
            self.house.spec.device, lanes=lanes, realtime_priority=0, arena_bytes=1 << 30
        )
        self.orchestrator = Orchestrator(
            replace(self.house.spec, device=device), state_dir=self.state, on_result=self.hear
        )
        give_back_at_the_end(self.orchestrator.cleanup)
        self.orchestrator.configure()

    def hear(self, spec: TaskSpec, result: JobResult) -> None:
        outputs = result.outputs["output"].copy()
        result.release()
        with self.came:
            self.results[spec.name].append((result.finished_ns > result.deadline_ns, outputs))
            self.came.notify_all()

    def register(self, name: str) -> None:
        task = self.house.task(
            name, lane=TASKS[name], wcet_ms=0, period_ms=PERIOD_MS, deadline_ms=600_000
        )
        answer = self.orchestrator.register(task)
        assert answer.accepted, answer.rationale.sentence
        assert "measured budget" in answer.rationale.sentence

    def feed(self, value: int, came_ns: int) -> None:
        intake = self.orchestrator.intake
        for stream in intake.streams():
            taken = intake.take(stream.key, came_ns)
            assert taken is not None
            taken.array(SHAPE)[:] = value
            intake.commit(taken, SHAPE, FrameTimes(0, came_ns, came_ns, came_ns))

    def wait(self, count: int) -> None:
        with self.came:
            assert self.came.wait_for(
                lambda: all(len(each) == count for each in self.results.values()), 100
            )


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Set:
    made = Set(tmp_path_factory.mktemp("house"))
    for name in TASKS:
        made.register(name)
    return made


def test_networks_of_two_runtimes_are_admitted_together_and_on_time(tasks: Set) -> None:
    found = {each.spec.name: each.lane for each in tasks.orchestrator.status().tasks}
    assert found == TASKS
    tasks.orchestrator.activate()
    # At the declared rate, until now: nobody waits for the next frame to be due.
    began = time.monotonic_ns() - FRAMES * PERIOD_MS * 1_000_000
    for number in range(FRAMES):
        tasks.feed(number + 3, began + number * PERIOD_MS * 1_000_000)
        tasks.wait(number + 1)
    for results in tasks.results.values():
        assert [late for late, _ in results] == [False] * FRAMES
        for number, (_, outputs) in enumerate(results):
            np.testing.assert_allclose(outputs, number + 3, rtol=1e-5)


def test_they_are_measured_beside_each_other_since_they_share_the_processors_caches(
    tasks: Set,
) -> None:
    orchestrator = tasks.orchestrator
    for name, other in (("on_openvino", "first"), ("first", "on_openvino")):
        one, beside = (orchestrator._admitted.get(each) for each in (name, other))
        assert one is not None and beside is not None
        key = orchestrator.contention._key_of(one.candidate)
        profile = ProfileStore(tasks.state / "profiles.sqlite").get(key)
        assert profile is not None
        met = {each.neighbour for each in profile.conditions if each.neighbour is not None}
        found = orchestrator.contention.neighbour(
            beside.candidate.compiled, "", TASKS[other], TASKS[name]
        )
        assert found in met
