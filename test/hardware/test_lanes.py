"""Lanes on a real GPU, through the backend: parts of it, captures that fail, and what they take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends import CompiledNetwork, Completion, Part, Work
from aegis_ros.backends.cuda.graphs import capture
from aegis_ros.backends.cuda.ort import network as ort_network
from aegis_ros.backends.cuda.ort.backend import OnnxRuntimeCudaBackend
from aegis_ros.errors import BackendError
from aegis_ros.network import PreparedNetwork
from aegis_ros.spec import LaneSpec
from benchmarks.gpu.partitions import ConfinedBackend, OutsideBackend

_TIMEOUT_S = 100.0
_INSIDE = 16

Make = Callable[..., PreparedNetwork]


class Gpu:
    """An opened backend that runs one job after the other."""

    def __init__(self, backend: OnnxRuntimeCudaBackend, lanes: Sequence[LaneSpec]) -> None:
        self.ended: SimpleQueue[Completion] = SimpleQueue()
        self.backend = backend
        backend.open(lanes, lambda token, done: self.ended.put(done), 0)

    def means(self, network: Any, lane: int, frame: np.ndarray) -> np.ndarray:
        """Run a network that computes the means of the channels; return them."""
        outputs = network.output_arrays()
        for step in range(network.segments):
            self.backend.start(lane, Work([Part(network, [frame], outputs)], step=step))
            assert self.ended.get(timeout=_TIMEOUT_S).error == ""
        return np.array(outputs[0])


@pytest.fixture
def opened() -> Iterator[Callable[..., Gpu]]:
    """Return a function (backend class, lanes) -> Gpu; all are closed afterwards."""
    with ExitStack() as undo:

        def made(make: Callable[[], OnnxRuntimeCudaBackend], *lanes: LaneSpec) -> Gpu:
            try:
                backend = make()
            except BackendError as error:
                if os.environ.get("AEGIS_REQUIRE_GPU"):
                    raise
                pytest.skip(str(error))
            undo.callback(backend.close)
            return Gpu(backend, lanes)

        yield made


def _frame(compiled: CompiledNetwork, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, compiled.max_shape, np.uint8)


@pytest.mark.parametrize("counts", [[16, None], [16, 16], [8, 24, None], [32, 16, 16]])
def test_lanes_with_parts_of_the_gpu_compute_the_same(
    opened: Callable[..., Gpu], make_network: Make, shared_cache: Path, counts: list[int | None]
) -> None:
    lanes = [LaneSpec(f"lane{at}", sms=count) for at, count in enumerate(counts)]
    gpu = opened(OnnxRuntimeCudaBackend, *lanes)
    for lane, count in zip(gpu.backend.lanes, counts, strict=True):
        assert lane.partition
        assert lane.sms >= (count or 1)
    compiled = gpu.backend.compile(make_network("chain"), shared_cache, 2)
    networks = [gpu.backend.load(compiled, at) for at in range(len(lanes))]
    for seed in range(3):
        found = [gpu.means(each, at, _frame(compiled, seed)) for at, each in enumerate(networks)]
        for other in found[1:]:
            np.testing.assert_array_equal(found[0], other)


def test_lanes_confined_to_some_multiprocessors_compute_the_same(
    opened: Callable[..., Gpu], make_network: Make, shared_cache: Path
) -> None:
    whole = opened(OnnxRuntimeCudaBackend, LaneSpec("whole"))
    compiled = whole.backend.compile(make_network(), shared_cache)
    usual = whole.backend.load(compiled, 0)
    inside = opened(
        lambda: ConfinedBackend(sms=_INSIDE), LaneSpec("half", sms=_INSIDE // 2), LaneSpec("rest")
    )
    assert [lane.sms for lane in inside.backend.lanes] == [_INSIDE // 2, _INSIDE // 2]
    networks = [inside.backend.load(compiled, at) for at in range(2)]
    for seed in range(3):
        frame = _frame(compiled, seed)
        expected = whole.means(usual, 0, frame)
        for at, network in enumerate(networks):
            np.testing.assert_array_equal(inside.means(network, at, frame), expected)


def test_a_lane_outside_its_part_computes_the_same(
    opened: Callable[..., Gpu], make_network: Make, shared_cache: Path
) -> None:
    gpu = opened(OutsideBackend, LaneSpec("part", sms=_INSIDE), LaneSpec("outside"))
    compiled = gpu.backend.compile(make_network(), shared_cache)
    networks = [gpu.backend.load(compiled, at) for at in range(2)]
    frame = _frame(compiled, 0)
    first, second = (gpu.means(each, at, frame) for at, each in enumerate(networks))
    np.testing.assert_array_equal(first, second)


def test_a_capture_that_fails_while_loading_costs_the_graph_and_nothing_else(
    opened: Callable[..., Gpu],
    make_network: Make,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = opened(OnnxRuntimeCudaBackend, LaneSpec("main"))
    compiled = gpu.backend.compile(make_network(), shared_cache)
    before = gpu.backend.load(compiled, 0)
    assert before.graphs == (True,)

    def interrupted(driver: Any, stream: int, enqueue: Callable[[], None]) -> int:
        def enqueue_and_wait() -> None:
            enqueue()
            driver.synchronize_stream(stream)

        return capture(driver, stream, enqueue_and_wait)

    with monkeypatch.context() as patched:
        patched.setattr(ort_network, "capture", interrupted)
        spoilt = gpu.backend.load(compiled, 0)
    assert (spoilt.graphs, list(spoilt.failed_captures)) == ((False,), [0])
    after = gpu.backend.load(compiled, 0)
    assert after.graphs == (True,)
    for seed in range(3):
        frame = _frame(compiled, seed)
        for network in (before, spoilt, after):
            found = gpu.means(network, 0, frame)
            np.testing.assert_allclose(found, frame.mean((0, 1)), rtol=1e-4)
    for network in (before, spoilt, after):
        gpu.backend.unload(network)


@pytest.mark.parametrize("parts", [1, 2])
def test_sessions_take_no_more_than_they_are_limited_to(
    opened: Callable[..., Gpu], make_network: Make, shared_cache: Path, parts: int
) -> None:
    gpu = opened(OnnxRuntimeCudaBackend, LaneSpec("main"))
    compiled = gpu.backend.compile(make_network("chain"), shared_cache, parts)
    for _ in range(3):
        network = gpu.backend.load(compiled, 0)
        limits = [each.arena_bytes for each in compiled.advice]
        assert len(network.session_bytes) == len(limits) == parts
        for taken, limit in zip(network.session_bytes, limits, strict=True):
            assert taken <= limit
        gpu.backend.unload(network)
