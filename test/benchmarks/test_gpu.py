"""The benchmark of GPUs, as far as it can be tried without one: its ways, books and goals."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork, backend_names, capabilities_of
from aegis_ros.backends.cuda import CudaError
from aegis_ros.backends.testing.simulated import lasting
from aegis_ros.memory import Footprint
from aegis_ros.network import NetworkInput, TensorInfo
from aegis_ros.spec import FrameFormat, LaneSpec, OrchestratorSpec
from benchmarks.compare.cpu import CpuUse
from benchmarks.compare.figures import lanes_of
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm, Round, TaskRound
from benchmarks.compare.workload import Network, Task, Workload
from benchmarks.gpu import ways
from benchmarks.gpu.bench import Bench, arm_of
from benchmarks.gpu.capacity import Probe, capacity
from benchmarks.gpu.drawing import draw_file
from benchmarks.gpu.goals import goals
from benchmarks.gpu.mix import LoadPlan, Mix
from benchmarks.gpu.partitions import CONFINED, Confined, ConfinedBackend, OutsideBackend, offer
from benchmarks.gpu.place import places
from benchmarks.gpu.report import Report
from benchmarks.gpu.ways import one_round, opened, round_of
from benchmarks.gpu.workload import workload
from test.backends.fake_cuda import FakeDriver
from test.backends.fake_ort import fake_toolkit

MS = 1_000_000


def network(cost_ms: int) -> CompiledNetwork:
    return CompiledNetwork(
        backend="simulated",
        key="key",
        paths=lasting("simulated.onnx", cost_ms * MS),
        inputs=(
            NetworkInput(TensorInfo("frame", "uint8", ("h", "w", 3)), FrameFormat.RGB8, (8, 8, 3)),
        ),
        outputs=(TensorInfo("values", "float32", (4,)),),
        footprint=Footprint(1000),
    )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    networks = {name: Network(name, {}, "high", (8, 8)) for name in ("quick", "slow")}
    device = {"backend": "simulated", "switch_ms": 0.1}
    return Bench(
        Workload(networks, {}, "quick", device, None, 1.0, 0.5),
        {"quick": network(1), "slow": network(40)},
        tmp_path,
        tmp_path,
    )


TASKS = (
    Task("quick", "quick", "/quick", 20.0, 20.0, "high"),
    Task("slow", "slow", "/slow", 100.0, 100.0, "high"),
)


@pytest.mark.parametrize("way", ["processes", "streams", "queue"])
def test_a_usual_way_runs_every_network_and_books_every_frame(bench: Bench, way: str) -> None:
    item = one_round(bench, Arm(way, way, way), load=0.5, number=0, tasks=TASKS, seconds=1.0)
    assert item.seconds == pytest.approx(1.0, rel=0.5)
    for task in TASKS:
        one = item.tasks[task.name]
        assert one.frames >= 5
        assert 0 < len(one.response_ms) <= one.frames
        assert one.without == one.frames - len(one.response_ms)
        assert (one.response_ms >= one.execution_ms).all()
    slow = float(item.tasks["slow"].execution_ms.min())
    assert slow >= 40.0
    # One behind the other in a queue; elsewhere a sleeping device holds nobody up.
    waited = float(item.tasks["quick"].response_ms.max())
    assert way != "queue" or waited >= 10.0


def test_a_way_that_stays_up_takes_the_same_tasks_at_another_rate(bench: Bench) -> None:
    slower = tuple(replace(task, period_ms=2 * task.period_ms) for task in TASKS)
    arm = arm_of("streams")
    with opened(bench, arm, TASKS) as way:
        frames = [
            round_of(bench, arm, way, load=1.0, number=0, tasks=tasks, seconds=1.0)
            .tasks["quick"]
            .frames
            for tasks in (TASKS, slower)
        ]
    assert frames == [pytest.approx(50, abs=2), pytest.approx(25, abs=2)]


@pytest.mark.parametrize(("way", "lanes"), [("aegis", 1), ("aegis_2", 2), ("aegis_3", 3)])
def test_ways_of_the_orchestrator_differ_in_their_lanes(bench: Bench, way: str, lanes: int) -> None:
    configured = replace(bench, lane_cores=(1, 0)).configured(way).device["lanes"]
    assert [lane["cpu"] for lane in configured] == [1, 0, None][:lanes]
    assert all("sms" not in lane for lane in configured)
    shared = replace(bench, share=8).configured("aegis_shares").device["lanes"]
    assert [lane.get("sms") for lane in shared] == [8, None]
    assert bench.configured("aegis_auto").device["lanes"] == "auto"


def test_lanes_are_chosen_in_the_time_there_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Chooser:
        def __init__(self, spec: OrchestratorSpec, **given: Any) -> None:
            asked.append((spec.device.lanes, given["limit_s"]))

        def choose(self) -> None:
            raise SystemExit("that was all")

    monkeypatch.setattr(ways, "LaneChooser", Chooser)
    for limit_s in (None, 20.0):
        with pytest.raises(SystemExit, match="that was all"):
            one_round(
                replace(bench, choose_s=limit_s),
                arm_of("aegis_auto"),
                load=0.8,
                number=0,
                tasks=TASKS,
                seconds=1.0,
            )
    assert asked == [((), None), ((), 20.0)]


def test_threads_of_the_usual_ways_run_on_all_cores_where_these_are_the_device(
    bench: Bench,
) -> None:
    device = {"backend": "onnxruntime", "switch_ms": 0.1}
    on_cores = replace(bench, workload=replace(bench.workload, device=device, core=3))
    assert [on_cores.usual_core(lane, 3) for lane in range(3)] == [None, None, None]
    assert on_cores.usual_core(0, 1) == 3
    device = {"backend": "onnxruntime_cuda", "switch_ms": 0.1}
    gpu = replace(bench, workload=replace(bench.workload, device=device, core=3), lane_cores=(3, 2))
    assert [gpu.usual_core(lane, 3) for lane in range(3)] == [3, 2, None]
    assert gpu.usual_core(0, 1) == 3


def test_networks_that_run_alone_are_fed_one_after_the_other(bench: Bench) -> None:
    arm = arm_of("solo")
    item = one_round(bench, arm, load=0.8, number=0, tasks=TASKS, seconds=2.0)
    assert item.seconds == pytest.approx(2.0, rel=0.5)
    assert all(item.tasks[task.name].frames >= 5 for task in TASKS)
    lanes = lanes_of(item)
    assert len(lanes) == 2
    quick, slow = (item.tasks[task.name] for task in TASKS)
    assert max(quick.started_ns) < min(slow.released_ns)


@pytest.mark.parametrize("limit", [0.05, 0.11, 0.6, 0.9, 3.0, 50.0])
def test_the_capacity_is_the_highest_rate_that_misses_nothing(limit: float) -> None:
    def probe(rate: float) -> Probe:
        return Probe(rate, 1000, 0 if rate <= limit else 200)

    rate, tried = capacity(probe)
    if 0.1 < limit < 12.0:
        assert limit / 1.035 <= rate <= limit
    assert len(tried) <= 20
    assert Probe(1.0, 1000, 5).misses is False
    assert Probe(1.0, 0, 0).misses is True


def test_tasks_take_the_rate_and_beyond_it_the_low_ones_take_what_is_added() -> None:
    runs = workload({"backend": "tensorrt", "switch_ms": 0.1}, None, 1)
    solo_ms = dict.fromkeys(runs.networks, 2.0)
    mix = Mix(runs, solo_ms, copies=2)

    def taken(tasks: tuple[Task, ...], criticality: str) -> float:
        return sum(2.0 / task.period_ms for task in tasks if task.criticality == criticality)

    for load in (0.5, 0.8, 0.95, 1.3):
        tasks = mix.tasks(1.5, load)
        names = [task.name for task in tasks]
        assert len(set(names)) == 8
        high = taken(tasks, "high")
        assert high + taken(tasks, "low") == pytest.approx(1.5 * load, rel=0.01)
        assert high == pytest.approx(1.5 * 0.5 * (0.8 if load > 1.0 else load), rel=0.01)
        assert all(task.deadline_ms == task.period_ms for task in tasks)


def test_a_confined_driver_puts_every_stream_on_its_own_multiprocessors() -> None:
    driver = FakeDriver()
    driver.sms = 132
    driver.attach()
    confined = Confined(driver, 16)
    assert confined.multiprocessors() == 16
    stream = confined.create_stream(1)
    inside = driver.streams[stream].partition
    assert driver._partitions == {inside: 16}
    first, rest = confined.split([6])
    assert (first.sms, rest.sms) == (6, 10)
    own = confined.create_stream(2, rest.handle)
    assert driver.streams[own].partition == rest.handle
    whole, nothing = confined.split([16])
    assert (whole.sms, nothing.sms, nothing.handle) == (16, 0, 0)
    with pytest.raises(CudaError, match="fewer multiprocessors"):
        confined.split([8, 10])
    for each in (stream, own):
        confined.destroy_stream(each)
    for part in (first, rest, whole):
        confined.unite(part.handle)
    confined.close()
    assert driver.held["partitions"] == 0


def test_lanes_of_a_confined_backend_share_its_multiprocessors() -> None:
    toolkit = fake_toolkit()
    toolkit.driver.sms = 132
    backend = ConfinedBackend(toolkit, sms=16)
    assert backend.device_name().endswith("inside 16 multiprocessors")
    backend.open((LaneSpec("a"), LaneSpec("b")), lambda token, done: None, 0)
    used = {stream.partition for stream in toolkit.driver.streams.values()}
    assert [toolkit.driver._partitions[each] for each in used] == [16]
    backend.close()
    assert not any(toolkit.driver.held.values())


def test_the_control_computes_outside_its_part() -> None:
    toolkit = fake_toolkit()
    backend = OutsideBackend(toolkit)
    backend.open((LaneSpec("a", sms=8), LaneSpec("b")), lambda token, done: None, 0)
    assert [lane.partition != 0 for lane in backend._lanes] == [True, False]
    backend.close()
    assert not any(toolkit.driver.held.values())


def test_its_backends_are_offered_as_another_distribution_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("AEGIS_BENCHMARK_SMS", raising=False)
    offer(tmp_path, 24)
    assert CONFINED in backend_names()
    assert capabilities_of(CONFINED).partitions
    assert os.environ["AEGIS_BENCHMARK_SMS"] == "24"


def test_only_what_can_be_confined_is() -> None:
    both = ["whole", "inside"]
    asked: dict[str, Any] = {"inside": 16, "share": 64, "scale": 0, "copies": 0}
    gpu = places("onnxruntime_cuda", both, **asked)
    assert [(place.backend, place.scale, place.share) for place in gpu] == [
        (CONFINED, 1, 8),
        ("onnxruntime_cuda", 2, 64),
    ]
    (cpu,) = places("onnxruntime", both, **asked)
    assert (cpu.scale, cpu.copies, cpu.share) == (1, 1, 0)
    with pytest.raises(SystemExit, match="confined"):
        places("onnxruntime", ["inside"], **asked)


def test_a_picture_is_drawn_from_the_file_of_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arms = [arm_of("streams"), arm_of("aegis_2")]
    runs = Workload({}, {}, "a", {"switch_ms": 0.1}, None, 1.0, 0.5)
    task = Task("a", "a", "/a", 10.0, 10.0, "high")
    plan = LoadPlan(0.8, (task,), 1.0, {"a": 2.0}, {"a": 1}, 0.3, rate=1.2)
    facts: dict[str, Any] = {"title": "whole device"}
    results = Results(runs, [plan], arms, ways=["streams", "aegis_2"], goals=goals, facts=facts)
    responses = np.linspace(1.0, 12.0, 500)
    for arm in arms:
        one = TaskRound(500, 0, 0, 0, responses, responses / 2)
        results.rounds.append(Round(0.8, arm.name, 0, 0.0, 5.0, {"a": one}, CpuUse(0, 0, 0, 0)))
    path = tmp_path / "gpu.json"
    report = Report({"device": "a GPU"}, path, 60.0)
    report.places["whole"] = results
    report.write()
    quantiles = json.loads(path.read_text())["places"]["whole"]["response_over_deadline_quantiles"]
    assert quantiles["0.8"]["streams"]["a"][-1] == pytest.approx(1.2)
    (drawn,) = draw_file(path, tmp_path / "gpu.png")
    assert drawn.stat().st_size > 1000
    (tmp_path / "old.json").write_text("{}")
    with pytest.raises(SystemExit, match="no responses"):
        draw_file(tmp_path / "old.json", tmp_path / "old.png")
