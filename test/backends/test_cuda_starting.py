"""A job that finds its GPU lane free: the GPU begins before the lane's thread has woken up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends import Completion, Part, Work
from aegis_ros.backends.cuda import backend as cuda_backend
from aegis_ros.spec import LaneSpec
from test.backends import fake_ort, fake_tensorrt
from test.backends.fake_cuda import FakeDriver

INVALID, ILLEGAL_ADDRESS = 1, 700
TOOLKITS: dict[str, Any] = {"onnxruntime_cuda": fake_ort, "tensorrt": fake_tensorrt}
HERE = "MainThread"
LANE = "lane-main"


class Gpu:
    """An opened backend over fakes, one network on its only lane, and frames in locked memory."""

    def __init__(self, fakes: Any, prepared: Any, cache: Path, parts: int) -> None:
        self.driver = FakeDriver()
        self.lost: list[str] = []
        toolkit = fakes.fake_toolkit(self.driver)
        options: dict[str, Any] = {"on_lost": self.lost.append}
        if fakes is fake_tensorrt:
            options["graph_pays"] = lambda raw_ns, graph_ns: True
        self.backend = fakes.fake_backend(toolkit, **options)
        self.ended: SimpleQueue[Completion] = SimpleQueue()
        lanes = [LaneSpec("main")]
        self.backend.open(lanes, lambda token, done: self.ended.put(done), 0)
        self.compiled = self.backend.compile(prepared, cache, parts)
        self.network = self.backend.load(self.compiled, 0)
        self.memory = np.zeros(int(np.prod(self.compiled.max_shape)) * 2, np.uint8)
        self.backend.pin(self.memory)
        self.outputs = [np.zeros(item.shape, item.dtype) for item in self.compiled.outputs]

    def frame(self, seed: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
        """Return a new frame where the GPU can read it."""
        shape = shape or self.compiled.max_shape
        frame = self.memory[: int(np.prod(shape))].reshape(shape)
        frame[:] = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        return frame

    def job(self, frame: np.ndarray) -> str:
        """Run all segments; return what went wrong."""
        for step in range(self.network.segments):
            part = Part(self.network, [frame], self.outputs)
            self.backend.start(0, Work([part], step=step))
            error = self.ended.get(timeout=100.0).error
            if error:
                return error
        return ""

    def calls(self) -> list[tuple[str, str]]:
        """Return the calls that put something on a stream, with their threads; forget all."""
        made = [(name, where) for name, where in self.driver.calls if name != "attach"]
        self.driver.calls.clear()
        return made


@pytest.fixture(params=sorted(TOOLKITS))
def opened(
    request: pytest.FixtureRequest, make_network: Callable[..., Any], shared_cache: Path
) -> Iterator[Callable[..., Gpu]]:
    """Return a function (kind, parts) -> backend with a network; nothing is left behind."""
    made: list[Gpu] = []

    def opened(kind: str = "means", parts: int = 1) -> Gpu:
        gpu = Gpu(TOOLKITS[request.param], make_network(kind), shared_cache, parts)
        made.append(gpu)
        assert gpu.job(gpu.frame(0)) == ""  # the first frame is looked over by the lane's thread
        gpu.calls()
        return gpu

    yield opened
    for gpu in made:
        gpu.backend.close()
        if not gpu.driver.lost:
            assert not any(gpu.driver.held.values()), gpu.driver.held


def right(gpu: Gpu, seed: int) -> None:
    """Run a job on a new frame, and hold its result to NumPy."""
    frame = gpu.frame(seed)
    assert gpu.job(frame) == ""
    np.testing.assert_allclose(gpu.outputs[0], frame.mean((0, 1)), rtol=1e-5)


def test_whoever_hands_a_job_over_launches_it_and_the_lanes_thread_waits(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened()
    for seed in (1, 2, 3):
        right(gpu, seed)
        assert gpu.calls() == [
            ("copy_in", HERE),
            ("launch", HERE),
            ("copy_out", HERE),
            ("record", LANE),
            ("synchronize", LANE),
        ]


def test_a_job_began_when_it_was_put_on_the_stream(opened: Callable[..., Gpu]) -> None:
    gpu = opened()
    work = Work([Part(gpu.network, [gpu.frame(1)], gpu.outputs)])
    before = time.monotonic_ns()
    gpu.backend.start(0, work)
    after = time.monotonic_ns()
    done = gpu.ended.get(timeout=100.0)
    assert before <= done.started_ns <= after
    assert done.started_ns < done.finished_ns


def test_what_the_lanes_own_thread_starts_it_puts_there_itself(opened: Callable[..., Gpu]) -> None:
    gpu = opened()
    frame = gpu.frame(1)
    last: SimpleQueue[Completion] = SimpleQueue()
    work = Work([Part(gpu.network, [frame], gpu.outputs)])
    thread = gpu.backend._threads[0]
    begun: list[int] = []

    def ended(token: int, done: Completion) -> None:
        begun.append(done.started_ns)
        if len(begun) < 2:
            gpu.backend.start(0, work)
        else:
            last.put(done)

    thread._ended = ended
    gpu.backend.start(0, work)
    assert last.get(timeout=100.0).error == ""
    assert [where for name, where in gpu.calls() if name == "launch"] == [HERE, LANE]
    assert begun[1] > begun[0]  # not the time at which the first one began


def test_a_frame_that_the_processor_has_to_copy_is_left_to_the_lanes_thread(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened()
    frame = gpu.frame(1).copy()
    assert gpu.job(frame) == ""
    np.testing.assert_allclose(gpu.outputs[0], frame.mean((0, 1)), rtol=1e-5)
    assert {where for _, where in gpu.calls()} == {LANE}


def test_a_frame_for_which_there_is_no_graph_is_left_to_the_lanes_thread(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened()
    for _ in range(2):
        frame = gpu.frame(1, (4, 6, 3))
        assert gpu.job(frame) == ""
        np.testing.assert_allclose(gpu.outputs[0], frame.mean((0, 1)), rtol=1e-5)
        assert {where for _, where in gpu.calls()} == {LANE}


def test_a_frame_that_does_not_fit_is_refused_by_the_lanes_thread(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened()
    wrong = gpu.memory.reshape(-1)[: 4 * 6].reshape(4, 6)
    assert "does not fit" in gpu.job(wrong)
    assert gpu.calls() == []
    right(gpu, 1)


def test_while_a_network_is_loaded_the_lanes_thread_alone_calls_the_driver(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened()
    with cuda_backend.driver_busy:
        right(gpu, 1)
        assert {where for _, where in gpu.calls()} == {LANE}
    right(gpu, 2)
    assert ("launch", HERE) in gpu.calls()


def test_loading_waits_for_no_job_and_no_job_for_loading(
    opened: Callable[..., Gpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = opened()
    loading, go_on = threading.Event(), threading.Event()
    allocate = gpu.driver.allocate

    def slowly(nbytes: int) -> int:
        loading.set()
        assert go_on.wait(100.0)
        return allocate(nbytes)

    monkeypatch.setattr(gpu.driver, "allocate", slowly)
    thread = threading.Thread(target=gpu.backend.load, args=(gpu.compiled, 0))
    thread.start()
    assert loading.wait(100.0)
    gpu.calls()
    right(gpu, 1)
    assert {where for _, where in gpu.calls()} == {LANE}
    go_on.set()
    thread.join(100.0)
    assert not thread.is_alive()


def test_beside_a_network_without_graphs_the_lanes_thread_alone_calls_the_driver(
    opened: Callable[..., Gpu], make_network: Callable[..., Any], shared_cache: Path
) -> None:
    gpu = opened()
    eager = gpu.backend.load(gpu.backend.compile(make_network("bright"), shared_cache), 0)
    assert eager.graphs == (False,)
    gpu.calls()
    right(gpu, 1)
    assert {where for _, where in gpu.calls()} == {LANE}
    gpu.backend.unload(eager)
    gpu.calls()
    right(gpu, 2)
    assert ("launch", HERE) in gpu.calls()


def test_each_call_that_fails_costs_its_job_alone(opened: Callable[..., Gpu]) -> None:
    gpu = opened()
    right(gpu, 1)
    count = len(gpu.driver.calls)
    seen = set()
    for at in range(count):
        gpu.driver.failed, gpu.driver.fail_at = "", (at, INVALID)
        error = gpu.job(gpu.frame(2 + at))
        seen.add(gpu.driver.failed)
        assert "the segment failed" in error and str(INVALID) in error
        assert gpu.driver.fail_at is None
        right(gpu, 100 + at)
    assert {"copy_in", "launch", "copy_out", "record", "synchronize"} <= seen


def test_a_context_that_is_lost_at_the_launch_is_reported_once_by_the_lanes_thread(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened()
    gpu.driver.fail["launch"] = [ILLEGAL_ADDRESS]
    assert "the GPU is lost" in gpu.job(gpu.frame(1))
    assert "the GPU is lost" in gpu.job(gpu.frame(2))
    assert len(gpu.lost) == 1


def test_every_segment_of_a_cut_network_is_launched_where_it_is_handed_over(
    opened: Callable[..., Gpu],
) -> None:
    gpu = opened("chain", 3)
    one, other = gpu.frame(1).copy(), gpu.frame(2).copy()
    found = []
    for frame in (one, other, one):
        gpu.memory[: frame.size] = frame.reshape(-1)
        assert gpu.job(gpu.memory[: frame.size].reshape(frame.shape)) == ""
        found.append(gpu.outputs[0].copy())
    assert [where for name, where in gpu.calls() if name == "launch"] == [HERE] * 9
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).any()
