"""One engine process with two backends: each lane runs its own, and frames are shared."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork, create_backend
from aegis_ros.backends.testing.networks import make_network
from aegis_ros.errors import EngineError
from test.engine.bench import MS, Bench, simulated


@pytest.fixture
def means(tmp_path: Path) -> CompiledNetwork:
    """A network that returns the mean of each channel."""
    return create_backend("onnxruntime").compile(make_network(tmp_path, "means"), tmp_path)


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Lanes 0 and 2 run one backend, lane 1 another."""
    with Bench(backend="simulated", backends=("", "onnxruntime", "simulated")) as made:
        yield made


def test_each_lane_runs_its_own_backend_on_the_same_frame(
    bench: Bench, means: CompiledNetwork
) -> None:
    channel = bench.channel(slots=1)
    bench.load(1, 2 * MS, lane=0)
    bench.load(2, compiled=means, lane=1)
    bench.load(3, 2 * MS, lane=2)
    for value in (3, 7):
        bench.feed(channel, 1, 2, 3, value=value)
        bench.wait(lambda _: bench.accounted() == sorted(bench.sent), "all three results")
    found = {
        (result.task_id, result.seq): outputs
        for result, outputs in zip(bench.heard.results, bench.heard.outputs, strict=True)
    }
    assert len(found) == 6
    of_means = [outputs for (task, _), outputs in sorted(found.items()) if task == 2]
    np.testing.assert_allclose([each["means"] for each in of_means], [[3, 3, 3], [7, 7, 7]])
    assert all("values" in outputs for (task, _), outputs in found.items() if task != 2)


def test_the_engine_names_all_its_backends(bench: Bench) -> None:
    info = bench.client.info()
    assert info.backend == "simulated + onnxruntime"
    assert "simulated device" in info.device and "onnxruntime" in info.device


def test_a_network_is_measured_by_the_backend_of_its_lane(
    bench: Bench, means: CompiledNetwork
) -> None:
    slow = bench.client.profile(simulated(20 * MS), 2, 3, lambda done, worst: True, warmup=0)
    assert slow.min() >= 20 * MS
    fast = bench.client.profile(
        means, 1, 3, lambda done, worst: True, warmup=0, beside=((simulated(MS), 0),)
    )
    assert fast.shape == (3, 1)
    with pytest.raises(EngineError, match="cannot load"):
        bench.client.profile(means, 0, 3, lambda done, worst: True)


def test_a_network_of_another_backend_is_refused_and_leaves_nothing(
    bench: Bench, means: CompiledNetwork
) -> None:
    with pytest.raises(EngineError, match="cannot load"):
        bench.load(1, compiled=means, lane=0)
    bench.load(1, compiled=means, lane=1)
    bench.client.unload(1)
    channel = bench.channel()
    bench.load(1, lane=0)
    bench.feed(channel, 1)
    bench.wait(lambda heard: heard.results, "a result")


def test_after_a_crash_each_network_is_back_on_its_lane(
    bench: Bench, means: CompiledNetwork
) -> None:
    channel = bench.channel()
    bench.load(1, lane=2)
    bench.load(2, compiled=means, lane=1)
    os.kill(bench.client.status().pid, signal.SIGKILL)
    bench.wait(lambda heard: any(event.recovered for event in heard.events), "the recovery")
    bench.feed(channel, 1, 2, value=5)
    bench.wait(lambda heard: len(heard.results) == 2, "both results")
    by_task = {
        result.task_id: outputs
        for result, outputs in zip(bench.heard.results, bench.heard.outputs, strict=True)
    }
    np.testing.assert_allclose(by_task[2]["means"], [5, 5, 5])
