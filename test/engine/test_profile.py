"""What a network is measured with: frames that are given, caches that are emptied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aegis_ros.engine import EngineClient
from aegis_ros.errors import EngineError
from test.engine.bench import Bench, simulated

MS = 1_000_000


@pytest.fixture
def client() -> Iterator[EngineClient]:
    with Bench() as bench:
        yield bench.client


def go_on(done: int, worst: int) -> bool:
    return True


def test_given_frames_are_taken_in_turn(client: EngineClient) -> None:
    network = simulated(MS)
    frames = [np.zeros((3, *network.max_shape), network.frame_input.dtype)]
    assert client.profile(network, 0, 5, go_on, frames=frames).shape == (5, 1)


def test_cold_runs_are_timed_without_the_time_to_empty_the_caches(client: EngineClient) -> None:
    samples = client.profile(simulated(MS), 0, 3, go_on, warmup=1, cold=True)
    assert samples.shape == (3, 1)


def test_a_network_that_runs_right_before_is_not_timed_with_it(client: EngineClient) -> None:
    before, network = simulated(5 * MS), simulated(MS, MS)
    client.profile(network, 0, 2, go_on)
    files = _open_files(client)
    samples = client.profile(network, 0, 6, go_on, warmup=1, after=before)
    assert samples.shape == (6, 2)
    assert np.median(samples) < 5 * MS
    assert _open_files(client) == files


def test_a_network_runs_all_the_time_on_another_lane_meanwhile() -> None:
    with Bench(lanes=2) as bench:
        client = bench.client
        client.profile(simulated(MS), 0, 2, go_on)
        files = _open_files(client)
        beside = [(simulated(MS), 1)]
        samples = client.profile(simulated(MS), 0, 6, go_on, warmup=1, beside=beside)
        assert samples.shape == (6, 1)
        assert _open_files(client) == files
        assert len(client.profile(simulated(MS), 1, 2, go_on)) == 2  # that lane is free again


@pytest.mark.parametrize("where", ["after", "beside"])
def test_a_neighbour_that_fails_to_load_leaves_the_engine_whole(where: str) -> None:
    broken = simulated(path="unloadable.onnx")
    with Bench(lanes=2) as bench:
        bench.client.profile(simulated(MS), 0, 2, go_on)
        files = _open_files(bench.client)
        neighbour: Any = broken if where == "after" else [(broken, 1)]
        with pytest.raises(EngineError, match="cannot load"):
            bench.client.profile(simulated(MS), 0, 5, go_on, **{where: neighbour})
        assert _open_files(bench.client) == files
        assert len(bench.client.profile(simulated(MS), 0, 2, go_on)) == 2


def test_a_network_that_fails_to_load_leaves_the_engine_whole(client: EngineClient) -> None:
    broken = simulated(path="unloadable.onnx")
    frames = [np.zeros((1, *broken.max_shape), broken.frame_input.dtype)]
    files = _open_files(client)
    for _ in range(3):
        with pytest.raises(EngineError, match="cannot load"):
            client.profile(broken, 0, 5, go_on, frames=frames)
    assert _open_files(client) == files
    assert len(client.profile(simulated(MS), 0, 2, go_on)) == 2


def _open_files(client: EngineClient) -> int:
    return len(list(Path(f"/proc/{client.info().pid}/fd").iterdir()))
