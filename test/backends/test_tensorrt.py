"""TensorRT as a backend: order of calls, lifetimes, and every call failing, over fakes."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends import Completion, Part, create_backend
from aegis_ros.backends import Work as LaneWork
from aegis_ros.backends.cuda import backend as cuda_backend
from aegis_ros.backends.cuda.trt.backend import TensorRtBackend
from aegis_ros.backends.cuda.trt.network import TensorRtNetwork
from aegis_ros.backends.cuda.trt.toolkit import Toolkit
from aegis_ros.backends.progress import read_progress, watched
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.spec import LaneSpec
from test.backends.fake_cuda import FakeDriver, Work
from test.backends.fake_tensorrt import FakeTensorRt, fake_backend, fake_toolkit
from test.driver import without_driver

ALWAYS: Any = lambda raw_ns, graph_ns: True  # noqa: E731
LANES = (LaneSpec("first"), LaneSpec("second"))
LARGEST = (16, 24, 3)
INVALID, ILLEGAL_ADDRESS = 1, 700


class Gpu:
    """An opened backend over fakes."""

    def __init__(self, cache: Path, lanes: Sequence[LaneSpec] = LANES, **driver: Any) -> None:
        self.driver = FakeDriver(**driver)
        self.trt = FakeTensorRt(self.driver)
        self.lost: list[str] = []
        self.cache = cache
        self.ended: SimpleQueue[Completion] = SimpleQueue()
        self.backend: TensorRtBackend = fake_backend(
            Toolkit(self.trt, self.driver), on_lost=self.lost.append, graph_pays=ALWAYS
        )
        self.backend.open(lanes, lambda token, done: self.ended.put(done), 0)

    def load(self, prepared: Any, parts: int = 1, lane: int = 0) -> TensorRtNetwork:
        compiled = self.backend.compile(prepared, self.cache, parts)
        network = self.backend.load(compiled, lane)
        assert isinstance(network, TensorRtNetwork)
        return network

    def start(
        self, lane: int, network: Any, step: int, frame: Any, outputs: Any, *, there: bool = False
    ) -> None:
        part = Part(network, [frame], outputs, prefetched=there)
        self.backend.start(lane, LaneWork([part], step=step))

    def run(self, network: Any, frame: Any, outputs: Any, lane: int = 0) -> Any:
        completion = Completion()
        for segment in range(network.segments):
            self.start(lane, network, segment, frame, outputs)
            completion = self.ended.get(timeout=100.0)
            if completion.error:
                break
        return completion

    def close(self) -> None:
        self.backend.close()


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[Gpu]:
    opened = Gpu(tmp_path / "cache")
    yield opened
    opened.close()
    if not opened.driver.lost:
        assert not any(opened.driver.held.values()), opened.driver.held


def random_frame(shape: tuple[int, ...] = LARGEST, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_outputs_are_what_the_network_computes(gpu, make_network):
    network, means = gpu.load(make_network()), np.zeros(3, np.float32)
    frame = random_frame()
    assert gpu.run(network, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


def test_a_job_copies_runs_and_copies_back_in_order_on_the_lanes_own_thread(gpu, make_network):
    network = gpu.load(make_network())
    gpu.driver.calls.clear()
    assert gpu.run(network, random_frame(), [np.zeros(3, np.float32)]).error == ""
    assert gpu.driver.calls == [
        (name, "lane-first")
        for name in ("attach", "copy_in", "launch", "copy_out", "record", "synchronize")
    ]


def test_a_job_allocates_nothing(gpu, make_network):
    network = gpu.load(make_network("chain"), 3)
    held = gpu.driver.held
    for seed in range(3):
        frame = random_frame((4 + seed, 4, 3), seed)
        outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
        assert gpu.run(network, frame, outputs).error == ""
    assert gpu.driver.held == held


def test_earlier_lanes_have_the_more_urgent_streams(gpu):
    urgencies = [gpu.driver.streams[lane.stream].urgency for lane in gpu.backend._lanes]
    assert urgencies[0] > urgencies[1] > 0


def test_only_the_largest_frame_goes_through_the_graph_and_others_leave_it_intact(
    gpu, make_network
):
    network, means = gpu.load(make_network()), np.zeros(3, np.float32)
    assert network.graphs == (True,)
    assert "CUDA graphs: 1 yes" in network.note
    for shape in (LARGEST, (4, 6, 3), (4, 6, 3), LARGEST, (1, 1, 3), LARGEST):
        before = gpu.driver.launched
        frame = random_frame(shape)
        assert gpu.run(network, frame, [means]).error == ""
        assert gpu.driver.launched - before == (shape == LARGEST)
        np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


def test_a_graph_that_does_not_pay_is_not_used(tmp_path, make_network):
    gpu = Gpu(tmp_path)
    gpu.backend._graph_pays = lambda raw_ns, graph_ns: False
    network = gpu.load(make_network())
    assert network.graphs == (False,)
    assert gpu.run(network, random_frame(), [np.zeros(3, np.float32)]).error == ""
    assert gpu.driver.held["graphs"] == 0
    assert re.fullmatch(
        r"segments launched as CUDA graphs: 1 no; \d+% to \d+% of the time without a graph",
        network.note,
    )
    gpu.close()


def test_works_with_a_driver_that_has_neither_priorities_nor_graphs(tmp_path, make_network):
    gpu = Gpu(tmp_path, priorities=False, graphs=False)
    network, means = gpu.load(make_network()), np.zeros(3, np.float32)
    frame = random_frame()
    assert gpu.run(network, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)
    assert "begin_capture" not in gpu.driver.names()
    assert network.note == ""
    assert "without priorities, no CUDA graphs" in gpu.backend.determinism()
    gpu.close()


def test_extents_known_only_after_the_run_are_reported_and_never_beyond_the_slot(gpu, make_network):
    network = gpu.load(make_network("bright"))
    assert network.graphs == (False,)
    assert network.note == "segments launched as CUDA graphs: 1 cannot be captured"
    frame = np.zeros(LARGEST, np.uint8)
    frame[2, 3, 1] = frame[5, 6, 2] = 9
    output = np.zeros(100, np.int64)
    assert gpu.run(network, frame, [output]).shapes == ((3, 2),)
    np.testing.assert_array_equal(output[:6].reshape(3, 2), [[2, 5], [3, 6], [1, 2]])
    small = np.zeros(30, np.int64)
    assert "larger than its slot" in gpu.run(network, np.ones(LARGEST, np.uint8), [small]).error
    assert not small.any()
    assert gpu.run(network, np.zeros(LARGEST, np.uint8), [small]).shapes == ((3, 0),)


def test_networks_of_one_lane_share_activations_and_lanes_do_not(gpu, make_network):
    gpu.trt.activation_bytes = 1 << 20
    gpu.load(make_network())
    one = gpu.backend._lanes[0].arena.nbytes
    gpu.load(make_network("chain", "chain"), 2)
    assert gpu.backend._lanes[0].arena.nbytes == one
    assert gpu.backend._lanes[1].arena.nbytes == 0


def test_a_network_lies_in_the_block_it_was_admitted_with(gpu, make_network):
    gpu.trt.activation_bytes = 1 << 20
    gpu.load(make_network())
    lane = gpu.backend._lanes[0]
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    own = gpu.backend.load(replace(compiled, block_bytes=1 << 21), 0)
    assert sorted(block.nbytes for block in lane.arena._blocks) == [1 << 20, 1 << 21]
    gpu.backend.unload(own)
    assert lane.arena.nbytes == 1 << 20


def test_loading_does_not_touch_activations_that_a_running_segment_uses(gpu, make_network):
    gpu.load(make_network())
    lane = gpu.backend._lanes[0]
    block = lane.arena._blocks[0]
    memory = (block.address, block.nbytes)
    gpu.driver.put(lane.stream, Work("running segment", lambda: None, [memory], exclusive=[memory]))
    gpu.load(make_network("chain", "chain"), 2)  # asserts inside
    gpu.driver.drain(lane.stream)


def test_a_larger_network_leaves_the_memory_of_graphs_where_it_is(gpu, make_network):
    small = gpu.load(make_network())
    gpu.trt.activation_bytes = 1 << 16
    large = gpu.load(make_network("chain", "chain"))
    means, both = np.zeros(3, np.float32), [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    for network, outputs in ((small, [means]), (large, both), (small, [means])):
        assert gpu.run(network, random_frame(), outputs).error == ""
    gpu.backend.unload(large)
    assert gpu.backend._lanes[0].arena.nbytes < 1 << 16
    assert gpu.run(small, random_frame(), [means]).error == ""


def test_unloading_gives_everything_back(gpu, make_network):
    before = gpu.driver.held
    networks = [gpu.load(make_network("chain"), parts) for parts in (1, 2, 3)]
    for network in networks:
        gpu.backend.unload(network)
    assert gpu.driver.held == before


@pytest.mark.parametrize("parts", [1, 2])
def test_whichever_call_of_loading_fails_nothing_is_left_behind(gpu, make_network, parts):
    compiled = gpu.backend.compile(make_network("chain"), gpu.cache, parts)
    gpu.driver.calls.clear()
    gpu.backend.unload(gpu.backend.load(compiled, 0))
    calls = len(gpu.driver.calls)
    before = gpu.driver.held
    reported = set()
    for index in range(calls):
        gpu.driver.fail_at, gpu.driver.failed = (index, INVALID), ""
        try:
            network = gpu.backend.load(compiled, 0)
        except BackendError as error:
            assert "cannot load" in str(error)
            reported.add(gpu.driver.failed)
            assert gpu.driver.held == before, gpu.driver.failed
            continue
        gpu.driver.fail_at = None
        if gpu.driver.failed:  # what cannot be captured runs without a graph
            assert gpu.driver.failed in ("begin_capture", "end_capture", "graph_kinds")
            assert not all(network.graphs)
        assert gpu.run(network, random_frame(), [np.zeros(3, np.float32)] * 2).error == ""
        gpu.driver.fail_at = None
        gpu.backend.unload(network)
    assert reported >= {
        "attach",
        "allocate",
        "allocate_pinned",
        "create_stream",
        "copy_in",
        "launch",
    }


def test_whichever_call_of_a_run_fails_only_that_job_is_lost(gpu, make_network):
    network = gpu.load(make_network("chain"), 2)
    frame = random_frame()
    wanted = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    gpu.driver.calls.clear()
    assert gpu.run(network, frame, wanted).error == ""
    for index in range(len(gpu.driver.calls)):
        outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
        gpu.driver.fail_at = (index, INVALID)
        assert "CUDA_ERROR_1" in gpu.run(network, frame, outputs).error
        assert gpu.driver.fail_at is None
        assert all(not stream.pending for stream in gpu.driver.streams.values())
        assert gpu.run(network, frame, outputs).error == ""
        assert [one.tobytes() for one in outputs] == [one.tobytes() for one in wanted]
    assert gpu.lost == []


@pytest.mark.parametrize("call", ["copy_in", "launch", "copy_out", "record", "synchronize"])
def test_a_lost_gpu_says_that_the_engine_must_restart(gpu, make_network, call):
    network, means = gpu.load(make_network()), [np.zeros(3, np.float32)]
    gpu.driver.fail[call] = [ILLEGAL_ADDRESS]
    assert "must restart" in gpu.run(network, random_frame(), means).error
    assert len(gpu.lost) == 1
    assert "must restart" in gpu.run(network, random_frame(), means).error
    with pytest.raises(BackendError, match="must restart"):
        gpu.load(make_network())
    assert len(gpu.lost) == 1


def test_a_gpu_lost_inside_tensorrt_is_noticed_when_its_stream_is_drained(tmp_path, make_network):
    gpu = Gpu(tmp_path, graphs=False)
    network = gpu.load(make_network())
    gpu.trt.deaf.add("execute_async_v3")
    gpu.driver.fail["synchronize_stream"] = [ILLEGAL_ADDRESS]
    done = gpu.run(network, random_frame(), [np.zeros(3, np.float32)])
    assert "must restart" in done.error
    assert len(gpu.lost) == 1
    gpu.close()


def test_an_engine_that_loses_the_gpu_ends_its_process(capfd, monkeypatch):
    codes: list[int] = []
    monkeypatch.setattr(cuda_backend.os, "_exit", codes.append)
    cuda_backend._end_process("the GPU is lost")
    assert codes == [70]
    assert "the GPU is lost" in capfd.readouterr().err


def test_a_network_larger_than_the_gpu_is_refused_and_the_others_stay(tmp_path, make_network):
    gpu = Gpu(tmp_path, capacity=100_000)
    network, means = gpu.load(make_network()), np.zeros(3, np.float32)
    before = gpu.driver.held
    gpu.trt.activation_bytes = 1 << 20
    with pytest.raises(BackendError, match=r"memory does not suffice.*MiB are free"):
        gpu.load(make_network("chain", "chain"), 2)
    assert gpu.driver.held == before
    assert gpu.run(network, random_frame(), [means]).error == ""
    gpu.close()


@pytest.mark.parametrize(
    "call",
    [
        "deserialize_cuda_engine",
        "create_execution_context",
        "set_tensor_address",
        "get_tensor_location",
    ],
)
def test_what_tensorrt_declines_at_loading_is_a_refusal(gpu, make_network, call):
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    before = gpu.driver.held
    gpu.trt.deaf.add(call)
    with pytest.raises(BackendError, match="TensorRT"):
        gpu.backend.load(compiled, 0)
    assert gpu.driver.held == before
    gpu.trt.deaf.clear()
    gpu.backend.load(compiled, 0)


def test_what_tensorrt_declines_to_run_is_reported_with_its_own_words(tmp_path, make_network):
    gpu = Gpu(tmp_path, graphs=False)
    network, means = gpu.load(make_network()), [np.zeros(3, np.float32)]
    gpu.trt.deaf.add("execute_async_v3")
    assert "enqueue failed" in gpu.run(network, random_frame(), means).error
    gpu.trt.deaf.clear()
    assert gpu.run(network, random_frame(), means).error == ""
    gpu.close()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((17, 24, 3), np.uint8),
        np.zeros((16, 24, 4), np.uint8),
        np.zeros((0, 24, 3), np.uint8),
        np.zeros((16, 24), np.uint8),
        np.zeros(LARGEST, np.float32),
        np.zeros((24, 16, 3), np.uint8).transpose(1, 0, 2),
    ],
)
@pytest.mark.parametrize("after_one_that_fits", [False, True])
def test_a_frame_that_does_not_fit_is_refused_before_the_gpu_hears_of_it(
    gpu, make_network, frame, after_one_that_fits
):
    network, means = gpu.load(make_network()), [np.zeros(3, np.float32)]
    if after_one_that_fits:
        assert gpu.run(network, random_frame(), means).error == ""
    gpu.driver.calls.clear()
    assert "does not fit" in gpu.run(network, frame, means).error
    assert set(gpu.driver.names()) == {"attach"}


# -- frames -----------------------------------------------------------------------------------


class Slots:
    """Memory for two frames, that the GPU reads itself."""

    def __init__(self, gpu: Gpu) -> None:
        self.memory = np.zeros(2 * int(np.prod(LARGEST)), np.uint8)
        self.frames = self.memory.reshape(2, *LARGEST)
        self.frames[:] = np.stack([random_frame(seed=seed) for seed in range(2)])
        gpu.backend.pin(self.memory)


def test_a_frame_in_locked_memory_is_copied_from_where_it_lies(gpu, make_network):
    network, means, slots = gpu.load(make_network()), np.zeros(3, np.float32), Slots(gpu)
    copied: list[int] = []
    original = gpu.driver.copy_in

    def copy_in(device: int, host: int, nbytes: int, stream: int) -> None:
        copied.append(host)
        original(device, host, nbytes, stream)

    gpu.driver.copy_in = copy_in  # type: ignore[method-assign]
    for frame in (slots.frames[1], random_frame(seed=7)):
        assert gpu.run(network, frame, [means]).error == ""
        np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)
    own, other = copied
    assert own == slots.frames[1].ctypes.data
    assert other not in (own, frame.ctypes.data)  # a page-locked copy


def test_a_job_waits_for_a_copy_that_began_before_it_instead_of_copying(gpu, make_network):
    network, means, slots = gpu.load(make_network()), np.zeros(3, np.float32), Slots(gpu)
    gpu.driver.calls.clear()
    assert gpu.backend.prefetch(network, [slots.frames[0]])
    gpu.start(0, network, 0, slots.frames[0], [means], there=True)
    assert gpu.ended.get(timeout=100.0).error == ""
    assert [name for name in gpu.driver.names() if name != "attach"] == [
        *("copy_in", "record"),
        *("wait", "launch", "copy_out", "record", "synchronize"),
    ]
    np.testing.assert_allclose(means, slots.frames[0].mean((0, 1)), rtol=1e-5)


def test_a_copy_for_a_job_that_was_dropped_does_not_land_on_top_of_the_next_frame(
    gpu, make_network
):
    network, means, slots = gpu.load(make_network()), np.zeros(3, np.float32), Slots(gpu)
    assert gpu.backend.prefetch(network, [slots.frames[0]])
    assert gpu.run(network, slots.frames[1], [means]).error == ""
    np.testing.assert_allclose(means, slots.frames[1].mean((0, 1)), rtol=1e-5)
    assert gpu.run(network, slots.frames[1], [means]).error == ""
    np.testing.assert_allclose(means, slots.frames[1].mean((0, 1)), rtol=1e-5)


def test_no_frame_is_brought_over_one_that_segments_still_read(gpu, make_network):
    network, slots = gpu.load(make_network("chain"), 3), Slots(gpu)
    outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    brought = []
    for segment in range(3):
        gpu.start(0, network, segment, slots.frames[0], outputs)
        assert gpu.ended.get(timeout=100.0).error == ""
        brought.append(gpu.backend.prefetch(network, [slots.frames[1]]))
    assert brought[-1]
    readers = [segment.frame_input for segment in network._segments]
    assert brought == [not any(readers[at + 1 :]) for at in range(3)]
    network.claim()
    assert not gpu.backend.prefetch(network, [slots.frames[1]])


@pytest.mark.parametrize(
    "frame",
    [np.zeros(LARGEST, np.uint8), np.zeros((16, 24, 4), np.uint8), np.zeros((0, 24, 3), np.uint8)],
)
def test_a_frame_that_lies_elsewhere_or_does_not_fit_is_not_brought(gpu, make_network, frame):
    network = gpu.load(make_network())
    if frame.shape != LARGEST and frame.size:
        gpu.backend.pin(frame.reshape(-1))
    gpu.driver.calls.clear()
    assert not gpu.backend.prefetch(network, [frame])
    assert gpu.driver.calls == []


@pytest.mark.parametrize("call", ["copy_in", "record"])
def test_a_copy_that_cannot_begin_leaves_the_job_to_copy_itself(gpu, make_network, call):
    network, means, slots = gpu.load(make_network()), np.zeros(3, np.float32), Slots(gpu)
    gpu.driver.fail[call] = [INVALID]
    assert not gpu.backend.prefetch(network, [slots.frames[0]])
    assert all(not stream.pending for stream in gpu.driver.streams.values())
    assert gpu.run(network, slots.frames[0], [means]).error == ""
    np.testing.assert_allclose(means, slots.frames[0].mean((0, 1)), rtol=1e-5)


def test_memory_that_cannot_be_locked_is_reported_and_costs_a_copy(gpu, make_network):
    gpu.driver.fail["pin"] = [INVALID]
    slots, means = Slots(gpu), np.zeros(3, np.float32)
    network = gpu.load(make_network())
    assert "frames are copied by the CPU first (pin: CUDA_ERROR_1 (1))" in network.note
    assert not gpu.backend.prefetch(network, [slots.frames[0]])
    assert gpu.run(network, slots.frames[0], [means]).error == ""
    gpu.backend.unpin(slots.memory)


def test_memory_is_let_go_when_nothing_reads_it_any_more(gpu, make_network):
    network, slots = gpu.load(make_network()), Slots(gpu)
    assert gpu.backend.prefetch(network, [slots.frames[0]])
    gpu.backend.unpin(slots.memory)  # asserts inside
    assert gpu.driver.held["registered"] == 0
    assert not gpu.backend.prefetch(network, [slots.frames[0]])


def test_a_gpu_lost_while_a_frame_is_brought_says_that_the_engine_must_restart(gpu, make_network):
    network, slots = gpu.load(make_network()), Slots(gpu)
    gpu.driver.fail["copy_in"] = [ILLEGAL_ADDRESS]
    assert not gpu.backend.prefetch(network, [slots.frames[0]])
    assert len(gpu.lost) == 1


# -- multiprocessors --------------------------------------------------------------------------


def divided(cache: Path, *sms: int | None, **driver: Any) -> Gpu:
    lanes = tuple(LaneSpec(f"lane{index}", None, wanted) for index, wanted in enumerate(sms))
    return Gpu(cache, lanes, **driver)


@pytest.mark.parametrize(
    ("wanted", "parts"),
    [((6, None), [6, 10]), ((5, None, None), [6, 10, 10]), ((4, 12), [4, 12]), ((8,), [8])],
)
def test_lanes_compute_on_their_own_multiprocessors_and_the_others_share_the_rest(
    tmp_path, make_network, wanted, parts
):
    gpu = divided(tmp_path, *wanted)
    assert [lane.sms for lane in gpu.backend._lanes] == parts
    reported = ", ".join(map(str, parts))
    assert f"multiprocessors of the lanes: {reported}" in gpu.backend.determinism()
    made: list[int] = []
    original = gpu.driver.create_stream

    def create_stream(urgency: int, partition: int = 0) -> int:
        made.append(partition)
        return original(urgency, partition)

    gpu.driver.create_stream = create_stream  # type: ignore[method-assign]
    for index, lane in enumerate(gpu.backend._lanes):
        network, means = gpu.load(make_network(), lane=index), np.zeros(3, np.float32)
        # A graph computes where it was captured.
        assert made.pop() == lane.partition == gpu.driver.streams[lane.stream].partition
        frame = random_frame()
        assert gpu.run(network, frame, [means], lane=index).error == ""
        np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)
    gpu.close()
    assert not any(gpu.driver.held.values()), gpu.driver.held


@pytest.mark.parametrize(
    ("wanted", "said"),
    [((12, 8), "cannot be divided among the lanes"), ((16, None), "no multiprocessor for")],
)
def test_a_gpu_that_cannot_be_divided_so_is_refused(tmp_path, wanted, said):
    driver = FakeDriver()
    backend = fake_backend(Toolkit(FakeTensorRt(driver), driver))
    lanes = [LaneSpec(f"lane{index}", None, each) for index, each in enumerate(wanted)]
    with pytest.raises(BackendError, match=said):
        backend.open(lanes, lambda token, done: None, 0)
    assert not any(driver.held.values()), driver.held


# -- building ---------------------------------------------------------------------------------


def test_engines_are_built_once_for_a_gpu_and_a_version(gpu, make_network):
    prepared = make_network("chain")
    gpu.backend.compile(prepared, gpu.cache, 2)
    assert gpu.trt.built == 2
    gpu.backend.compile(prepared, gpu.cache, 2)
    assert gpu.trt.built == 2
    gpu.trt.__version__ = "11.0.0"
    gpu.backend.compile(prepared, gpu.cache, 2)
    assert gpu.trt.built == 4


def test_engines_multiply_exactly_unless_tf32_is_allowed(tmp_path, make_network):
    toolkit = fake_toolkit()
    flag = toolkit.trt.BuilderFlag.TF32
    made = [
        fake_backend(toolkit, tf32=allowed).compile(make_network(), tmp_path)
        for allowed in (False, True, False)
    ]
    assert [flag in flags for flags in toolkit.trt.built_with] == [False, True]
    assert made[0].paths == made[2].paths != made[1].paths
    assert fake_backend(toolkit, tf32=True).device_name() != fake_backend(toolkit).device_name()


def test_what_was_timed_is_kept_with_its_digest_and_only_the_newest(gpu, make_network):
    """The fake adds a dot to what it is given, in each build."""
    kept = gpu.cache / "tensorrt"

    def timed() -> Path:
        (path,) = kept.glob("timing-*.cache")
        return path

    gpu.backend.compile(make_network("chain"), gpu.cache, 2)
    assert timed().read_bytes() == b".."
    gpu.backend.compile(make_network(), gpu.cache)
    assert timed().read_bytes() == b"..."
    timed().write_bytes(b",..")
    gpu.backend.compile(make_network("exits"), gpu.cache)
    assert timed().read_bytes() == b"."


def test_an_engine_that_was_removed_is_built_again(gpu, make_network):
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    Path(compiled.paths[0]).unlink()
    assert gpu.backend.compile(make_network(), gpu.cache) == compiled
    assert gpu.trt.built == 2


def test_facts_of_an_earlier_version_are_made_again(gpu, make_network):
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    assert compiled.footprint.activations == gpu.trt.activation_bytes
    assert min(compiled.footprint.weights, compiled.footprint.staging) > 0
    (noted,) = (gpu.cache / "tensorrt").glob("[!t]*.json")  # of the network, not the timings
    facts = json.loads(noted.read_text())["facts"]
    noted.write_text(json.dumps(facts | {"paths": [Path(path).name for path in compiled.paths]}))
    assert gpu.backend.compile(make_network(), gpu.cache) == compiled
    assert gpu.trt.built == 2


def test_an_engine_that_computes_something_else_is_refused_with_the_tolerance(gpu, make_network):
    gpu.trt.noise = 50.0
    with pytest.raises(ModelError, match=r"'means' is off from ONNX Runtime's by .* 0.5% is toler"):
        gpu.backend.compile(make_network(), gpu.cache)


def test_parts_that_compute_something_else_leave_the_network_whole(gpu, make_network):
    prepared = make_network("chain")
    gpu.backend.compile(prepared, gpu.cache)
    gpu.trt.noise = 50.0
    compiled = gpu.backend.compile(prepared, gpu.cache, 2)
    assert compiled.segments == 1
    assert "not cut into 2 segments: output" in compiled.note


def test_a_network_with_too_few_places_stays_whole(gpu, make_network):
    compiled = gpu.backend.compile(make_network("chain"), gpu.cache, 9)
    assert compiled.segments == 1
    assert compiled.note.startswith("not cut into 9 segments")


def test_what_tensorrt_cannot_build_is_reported_with_its_own_words(gpu, make_network):
    gpu.trt.deaf.add("build_serialized_network")
    with pytest.raises(ModelError, match="could not find any implementation"):
        gpu.backend.compile(make_network(), gpu.cache)


def test_progress_of_the_child_is_reported_while_it_builds(tmp_path):
    reported: list[tuple[str, float]] = []
    place = tmp_path / "progress"
    with watched(place, lambda phase, done: reported.append((phase, done))):
        place.write_text('{"phase": "Building", "done": 0.5}')
        end = time.monotonic() + 100.0
        while not reported and time.monotonic() < end:
            time.sleep(0.02)
    assert reported[0] == ("Building", 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "[]",
        '{"phase": "Building"}',
        '{"phase": 1, "done": "x"}',
        '{"phase": "' + "x" * 5000 + '", "done": 0.5}',
        "[" * 4000,
    ],
)
def test_progress_without_sense_is_no_progress(tmp_path, text):
    place = tmp_path / "progress"
    assert read_progress(place) is None
    place.write_text(text)
    assert read_progress(place) is None


# -- what is missing --------------------------------------------------------------------------


@without_driver
def test_without_a_driver_one_sentence_says_how_to_get_one():
    with pytest.raises(BackendError) as raised:
        create_backend("tensorrt")
    text = str(raised.value)
    assert text.startswith("backend tensorrt needs an NVIDIA GPU")
    for word in ("Jetson", "apt install", "pip install 'aegis_ros[tensorrt]'", "onnxruntime"):
        assert word in text
    assert "\n" not in text
