"""ONNX Runtime's CUDA provider as a backend: captures, lifetimes, numbers, over fakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from aegis_ros.backends import Completion, Part, create_backend
from aegis_ros.backends import Work as LaneWork
from aegis_ros.backends.cuda.ort.backend import OnnxRuntimeCudaBackend
from aegis_ros.backends.cuda.ort.network import OrtCudaNetwork
from aegis_ros.backends.folding import fold
from aegis_ros.engine.slots import OutputSlots
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.spec import LaneSpec
from test.backends.fake_cuda import FakeDriver
from test.backends.fake_ort import FakeOrt, fake_backend, fake_toolkit
from test.driver import without_driver

LANES = (LaneSpec("first"), LaneSpec("second"))
LARGEST = (16, 24, 3)
INVALID, ILLEGAL_ADDRESS = 1, 700


class Gpu:
    """An opened backend over fakes."""

    def __init__(self, cache: Path, lanes: Sequence[LaneSpec] = LANES, **driver: Any) -> None:
        self.driver = FakeDriver(**driver)
        toolkit = fake_toolkit(self.driver)
        self.ort: FakeOrt = toolkit.ort
        self.lost: list[str] = []
        self.cache = cache
        self.ended: SimpleQueue[Completion] = SimpleQueue()
        self.backend: OnnxRuntimeCudaBackend = fake_backend(toolkit, on_lost=self.lost.append)
        self.backend.open(lanes, lambda token, done: self.ended.put(done), 0)

    def load(self, prepared: Any, parts: int = 1, lane: int = 0) -> OrtCudaNetwork:
        network = self.backend.load(self.backend.compile(prepared, self.cache, parts), lane)
        assert isinstance(network, OrtCudaNetwork)
        return network

    def run(self, network: Any, frame: Any, outputs: Any, lane: int = 0) -> Completion:
        completion = Completion()
        for step in range(network.segments):
            self.backend.start(lane, LaneWork([Part(network, [frame], outputs)], step=step))
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


def means_of(gpu: Gpu, network: Any, shape: tuple[int, ...] = LARGEST) -> None:
    """Run the network of means on a new frame, and hold it to NumPy."""
    frame, means = random_frame(shape), np.zeros(3, np.float32)
    assert gpu.run(network, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


# -- running ----------------------------------------------------------------------------------


def test_a_job_launches_a_graph_and_allocates_nothing(gpu, make_network):
    network = gpu.load(make_network())
    assert network.graphs == (True,)
    assert network.note == "segments launched as CUDA graphs: 1 of 1"
    held = gpu.driver.held
    gpu.driver.calls.clear()
    means_of(gpu, network)
    assert gpu.driver.calls == [
        (name, "lane-first")
        for name in ("attach", "copy_in", "launch", "copy_out", "record", "synchronize")
    ]
    assert gpu.driver.held == held


def test_smaller_frames_run_without_the_graph_and_leave_it_intact(gpu, make_network):
    network = gpu.load(make_network())
    for shape in (LARGEST, (4, 6, 3), (4, 6, 3), LARGEST, (1, 1, 3), LARGEST):
        before = gpu.driver.launched
        means_of(gpu, network, shape)
        assert gpu.driver.launched - before == (shape == LARGEST)


def test_a_job_with_a_smaller_result_leaves_what_lies_behind_it_alone(gpu, make_network):
    network = gpu.load(make_network("bright"))
    room = np.full(3 * 16 * 24 * 3, -1, np.int64)
    for extent in (1, 4, 2, 4):
        frame = np.ones((extent, 1, 1), np.uint8).repeat(3, axis=2)
        room[:] = -1
        completion = gpu.run(network, frame, [room])
        assert (completion.error, completion.shapes) == ("", ((3, 3 * extent),))
        assert (room[: 9 * extent] >= 0).all() and (room[9 * extent :] == -1).all()


def test_the_note_of_a_network_says_what_part_of_the_gpu_its_lane_got(tmp_path, make_network):
    gpu = Gpu(tmp_path, [LaneSpec("first", sms=3), LaneSpec("second")])
    notes = [gpu.load(make_network(), lane=lane).note for lane in range(2)]
    assert [note.split("; ")[1] for note in notes] == [
        f"its lane has {count} multiprocessors" for count in (4, gpu.driver.sms - 4)
    ]
    gpu.close()


def test_sessions_run_on_a_stream_of_their_own_as_urgent_as_the_lanes(tmp_path, make_network):
    gpu = Gpu(tmp_path, [LaneSpec("first", None, 4), LaneSpec("second")])
    for index, lane in enumerate(gpu.backend._lanes):
        network = gpu.load(make_network(), lane=index)
        own = int(gpu.ort.options[-1]["user_compute_stream"])
        assert own not in {each.stream for each in gpu.backend._lanes}
        of_lane, of_network = gpu.driver.streams[lane.stream], gpu.driver.streams[own]
        assert of_network.urgency == of_lane.urgency
        assert of_network.partition == of_lane.partition == lane.partition
        means_of(gpu, network)
    gpu.close()


def test_providers_multiply_exactly_unless_configured_otherwise(tmp_path, make_network):
    gpu = Gpu(tmp_path)
    gpu.load(make_network())
    assert gpu.ort.options[-1]["use_tf32"] == "0"
    assert "enable_cuda_graph" not in gpu.ort.options[-1]  # captures are ours
    gpu.close()
    toolkit = fake_toolkit()
    exact = fake_backend(toolkit).compile(make_network(), tmp_path)
    compiled = fake_backend(toolkit, tf32=True).compile(make_network(), tmp_path)
    assert compiled.paths != exact.paths  # neither stands in for the other
    backend = fake_backend(toolkit)  # an engine: it goes by what a network was compiled for
    backend.open(LANES, lambda token, done: None, 0)
    for network, used in ((compiled, "1"), (exact, "0")):
        backend.load(network, 0)
        assert toolkit.ort.options[-1]["use_tf32"] == used
    backend.close()


def test_budgets_of_tf32_are_no_budgets_of_exact_float32():
    toolkit = fake_toolkit()
    assert fake_backend(toolkit, tf32=True).device_name() != fake_backend(toolkit).device_name()


def test_extents_known_only_after_the_run_are_reported_and_never_beyond_the_slot(gpu, make_network):
    network = gpu.load(make_network("bright"))
    assert network.graphs == (False,)
    assert "extents of 'bright' are known only after a run" in network.note
    frame, output = np.zeros(LARGEST, np.uint8), np.zeros(3 * 8 * 2 + 16384, np.int64)
    frame[2, 3, 1] = frame[5, 0, 2] = 9
    done = gpu.run(network, frame, [output])
    assert (done.error, done.shapes) == ("", ((3, 2),))
    assert output[:6].reshape(3, 2).tolist() == [[2, 5], [3, 0], [1, 2]]
    done = gpu.run(network, frame, [np.zeros(5, np.int64)])
    assert "larger than its slot" in done.error
    assert gpu.run(network, frame, [output]).shapes == ((3, 2),)


@pytest.mark.parametrize("kept", [1, 2, 5, 9])
def test_rows_that_are_kept_are_the_first_behind_every_extent_of_a_batch(gpu, make_network, kept):
    compiled = gpu.backend.compile(make_network("bright"), gpu.cache)
    (info,) = compiled.outputs
    bounded = replace(compiled, outputs=(replace(info, shape=(3, kept), rows_axis=1),))
    network = gpu.backend.load(bounded, 0)
    frame, output = np.zeros(LARGEST, np.uint8), np.full(64, -1, np.int64)
    places = [(1, 2, 0), (3, 4, 1), (5, 6, 2), (7, 8, 0), (9, 10, 1)]
    for place in places:
        frame[place] = 9
    done = gpu.run(network, frame, [output])
    assert (done.error, done.shapes) == ("", ((3, 5),))
    slots = OutputSlots(bounded, 1)
    slots.arrays(0)[0][:] = output[: slots.arrays(0)[0].size]
    slots.note_extents(0, done.shapes)
    np.testing.assert_array_equal(slots.views(0)["bright"], np.transpose(places[:kept]))


def test_what_onnx_runtime_refuses_to_run_fails_this_job_alone(gpu, make_network):
    network = gpu.load(make_network("bright"))
    output = np.zeros(3 * 8 * 2 + 16384, np.int64)
    gpu.ort.refuses = True
    done = gpu.run(network, np.zeros(LARGEST, np.uint8), [output])
    assert "ONNX Runtime refuses to run the segment (CUDA failure 900)" in done.error
    gpu.ort.refuses = False
    assert gpu.run(network, np.zeros(LARGEST, np.uint8), [output]).error == ""


@pytest.mark.parametrize("call", ["copy_in", "launch", "copy_out", "record", "synchronize"])
def test_whichever_call_of_a_run_fails_only_that_job_is_lost(gpu, make_network, call):
    network = gpu.load(make_network())
    gpu.driver.fail[call] = [INVALID]
    done = gpu.run(network, random_frame(), [np.zeros(3, np.float32)])
    assert call in done.error
    means_of(gpu, network)


def test_a_lost_gpu_says_that_the_engine_must_restart(gpu, make_network):
    network = gpu.load(make_network())
    gpu.driver.fail["synchronize"] = [ILLEGAL_ADDRESS]
    done = gpu.run(network, random_frame(), [np.zeros(3, np.float32)])
    assert "must restart" in done.error
    assert len(gpu.lost) == 1


def test_works_with_a_driver_that_has_no_graphs(tmp_path, make_network):
    gpu = Gpu(tmp_path, priorities=False, graphs=False)
    network = gpu.load(make_network("chain"), 2)
    assert network.graphs == (False, False)
    assert network.note == ""
    assert "begin_capture" not in gpu.driver.names()
    outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    assert gpu.run(network, random_frame(), outputs).error == ""
    assert np.all(outputs[0] != 0)
    gpu.close()


# -- loading ----------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 3])
def test_unloading_gives_graphs_sessions_and_memory_back(gpu, make_network, parts):
    before = gpu.driver.held
    network = gpu.load(make_network("chain"), parts)
    assert gpu.driver.held["graphs"] == parts
    assert gpu.driver.held["streams"] == before["streams"] + 1
    gpu.backend.unload(network)
    assert gpu.driver.held == before


@pytest.mark.parametrize("parts", [1, 2])
def test_whichever_call_of_loading_fails_nothing_is_left_behind(gpu, make_network, parts):
    compiled = gpu.backend.compile(make_network("chain"), gpu.cache, parts)
    before, failed = gpu.driver.held, set()
    for at in range(400):
        gpu.driver.failed, gpu.driver.fail_at = "", (at, INVALID)
        try:
            network = gpu.backend.load(compiled, 0)
        except BackendError as error:
            assert "cannot load" in str(error)
            failed.add(gpu.driver.failed)
            assert gpu.driver.held == before, gpu.driver.failed
            continue
        gpu.driver.fail_at = None
        whole = gpu.driver.failed == ""
        assert whole or gpu.driver.failed in ("begin_capture", "end_capture", "graph_kinds")
        assert whole == all(network.graphs)
        outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
        assert gpu.run(network, random_frame(), outputs).error == ""
        gpu.backend.unload(network)
        assert gpu.driver.held == before, gpu.driver.failed
        if whole:
            break
    else:
        raise AssertionError("loading never works")
    assert {"create_stream", "allocate", "allocate_pinned", "copy_in", "launch"} <= failed


def test_loading_does_not_wait_for_what_the_lane_computes(gpu, make_network):
    network = gpu.load(make_network())
    lane = gpu.backend._lanes[0]
    gpu.driver.attach()
    gpu.driver.calls.clear()
    busy = {lane.stream, network._stream}
    waited: list[int] = []
    original = gpu.driver.synchronize_stream
    gpu.driver.synchronize_stream = lambda stream: (waited.append(stream), original(stream))[1]
    gpu.load(make_network("chain", "chain"))
    assert waited and not busy & set(waited)


def test_the_memory_of_sessions_is_counted_and_limited(gpu, make_network):
    compiled = gpu.backend.compile(make_network("chain"), gpu.cache, 2)
    advice = compiled.advice
    assert all(each.eager == "" and each.arena_bytes > 64 * 2**20 for each in advice)
    network = gpu.backend.load(compiled, 0)
    assert isinstance(network, OrtCudaNetwork)
    assert network.session_bytes == [4096, 4096]  # the arenas of the fake
    assert compiled.footprint.total == network.device_bytes > 8192
    limits = [options["gpu_mem_limit"] for options in gpu.ort.options[-2:]]
    assert limits == [str(each.arena_bytes) for each in advice]


@pytest.mark.parametrize("more", [[0, 8192, 0], [0, 0, 8192], [1 << 20, 8192, 100]])
def test_the_most_that_a_session_took_while_it_was_built_is_counted(gpu, make_network, more):
    gpu.ort.more_bytes = list(more)
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    assert compiled.footprint.weights == 4096 + 8192
    network = gpu.backend.load(compiled, 0)
    assert network.device_bytes < compiled.footprint.total
    assert "counted" not in network.note


def test_a_network_that_takes_more_than_is_counted_says_so(gpu, make_network):
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    gpu.ort.more_bytes = [30 << 20]
    network = gpu.backend.load(compiled, 0)
    assert network.note.endswith("it took 30 MiB of the GPU's memory more than is counted")


def test_a_provider_that_does_not_start_is_reported_and_nothing_runs_on_the_cpu_instead(
    gpu, make_network
):
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    gpu.ort.broken = True
    before = gpu.driver.held
    with pytest.raises(BackendError, match="its CUDA provider does not start"):
        gpu.backend.load(compiled, 0)
    assert gpu.driver.held == before


# -- captures ---------------------------------------------------------------------------------


def test_a_part_that_cannot_be_captured_is_found_in_the_child_and_never_tried_here(
    gpu, make_network
):
    gpu.ort.uncapturable = {"1"}  # as the child names the second of its files
    compiled = gpu.backend.compile(make_network("chain"), gpu.cache, 3)
    gpu.driver.calls.clear()
    network = gpu.backend.load(compiled, 0)
    assert isinstance(network, OrtCudaNetwork)
    assert network.graphs == (True, False, True)
    assert network.failed_captures == {}
    assert gpu.driver.names().count("begin_capture") == 2
    assert "2 of 3; 1 not: [ONNXRuntimeError] : 1 : FAIL : CUDA failure 900" in network.note
    outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    assert gpu.run(network, random_frame(), outputs).error == ""


def test_a_capture_that_fails_here_after_all_costs_its_stream_and_no_more(gpu, make_network):
    other = gpu.load(make_network())
    compiled = gpu.backend.compile(make_network("chain", "chain"), gpu.cache, 3)
    gpu.ort.uncapturable = {Path(compiled.paths[1]).stem}
    network = gpu.backend.load(compiled, 0)
    assert isinstance(network, OrtCudaNetwork)
    assert network.graphs == (True, False, True)
    assert list(network.failed_captures) == [1]
    assert network._stream not in gpu.ort.spoilt
    assert not gpu.ort.spoilt & set(gpu.driver.streams)  # they are gone
    outputs = [np.zeros(3, np.float32), np.zeros(3, np.float32)]
    assert gpu.run(network, random_frame(), outputs).error == ""
    means_of(gpu, other)


@pytest.mark.parametrize(
    ("on_cpu", "copies", "said"),
    [
        (["Shape", "Gather"], False, "Shape on the CPU, Gather on the CPU"),
        ([], True, "MemcpyToHost"),
    ],
)
def test_what_runs_elsewhere_or_copies_is_not_even_tried(gpu, make_network, on_cpu, copies, said):
    gpu.ort.on_cpu, gpu.ort.copies = on_cpu, copies
    network = gpu.load(make_network())
    assert network.graphs == (False,)
    assert f"not all of it runs on the GPU ({said})" in network.note
    assert gpu.ort.captures_tried == 0
    means_of(gpu, network)


@pytest.mark.parametrize(
    ("attribute", "said"),
    [("host_calls", "it calls back into the host"), ("silent", "it puts nothing on the stream")],
)
def test_a_graph_that_cannot_be_launched_again_is_not_used(gpu, make_network, attribute, said):
    setattr(gpu.ort, attribute, True)
    network = gpu.load(make_network())
    assert network.graphs == (False,)
    assert said in network.note
    assert gpu.driver.held["graphs"] == 0
    means_of(gpu, network)


def test_a_part_without_advice_is_not_captured(gpu, make_network):
    compiled = gpu.backend.compile(make_network(), gpu.cache)
    network = gpu.backend.load(replace(compiled, advice=()), 0)
    assert isinstance(network, OrtCudaNetwork)
    assert network.graphs == (False,)
    assert "was never tried" in network.note
    means_of(gpu, network)


# -- building ---------------------------------------------------------------------------------


def test_what_returns_the_results_of_an_earlier_frame_is_refused(gpu, make_network):
    gpu.ort.stale = True
    with pytest.raises(ModelError, match="'means' is off from ONNX Runtime's"):
        gpu.backend.compile(make_network(), gpu.cache)


def test_so_is_one_whose_only_result_is_which_of_two_classes(gpu, make_network):
    assert gpu.backend.compile(make_network("label"), gpu.cache).segments == 1
    gpu.ort.stale = True
    with pytest.raises(ModelError, match="'label' has 1 of 1 whole numbers that are not"):
        gpu.backend.compile(make_network("label", "again", (16, 25, 3)), gpu.cache)


def test_what_computes_something_else_is_refused_with_the_tolerance(gpu, make_network):
    gpu.ort.noise = 2.0
    with pytest.raises(ModelError, match=r"'means' is off .* and 0.5% is tolerated"):
        gpu.backend.compile(make_network(), gpu.cache)


def test_parts_that_compute_something_else_leave_the_network_whole(gpu, make_network):
    prepared = make_network("chain")
    gpu.backend.compile(prepared, gpu.cache)
    gpu.ort.noise = 0.5
    compiled = gpu.backend.compile(prepared, gpu.cache, 2)
    assert compiled.segments == 1
    assert compiled.note.startswith("not cut into 2 segments: output 'm")


def test_parts_are_made_once_for_a_gpu_and_a_version(gpu, make_network):
    prepared = make_network("chain")
    first = gpu.backend.compile(prepared, gpu.cache, 2)
    tried = gpu.ort.captures_tried
    assert gpu.backend.compile(prepared, gpu.cache, 2) == first
    assert gpu.ort.captures_tried == tried > 0
    Path(first.paths[1]).unlink()
    assert gpu.backend.compile(prepared, gpu.cache, 2) == first
    assert gpu.ort.captures_tried > tried


def test_extents_are_folded_before_a_network_is_cut(tmp_path):
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Shape", ["image"], ["extents"]),
        helper.make_node("Shape", ["image"], ["again"]),
        helper.make_node("Add", ["extents", "again"], ["doubled"]),
        helper.make_node("Sub", ["doubled", "again"], ["wanted"]),
        helper.make_node("Relu", ["image"], ["positive"]),
        helper.make_node("Reshape", ["positive", "wanted"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "extents",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "source.onnx")
    folded = onnx.load(fold(tmp_path / "source.onnx", tmp_path / "folded.onnx"))
    assert "Shape" not in {node.op_type for node in folded.graph.node}
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match="damaged"):
        fold(tmp_path / "broken.onnx", tmp_path / "never.onnx")


@without_driver
def test_without_a_driver_one_sentence_says_how_to_get_one():
    with pytest.raises(BackendError, match=r"onnxruntime_cuda needs an NVIDIA GPU.*libcuda.so.1"):
        create_backend("onnxruntime_cuda")
