"""ONNX Runtime as a backend: right numbers, bounded outputs, hostile files kept outside."""

from __future__ import annotations

import os
import select
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aegis_ros.backends.onnxruntime import OnnxRuntimeBackend, session_options
from aegis_ros.errors import ModelError
from aegis_ros.network import TensorInfo
from aegis_ros.spec import LaneSpec


@pytest.fixture
def backend():
    event_fd = os.eventfd(0, os.EFD_NONBLOCK)
    made = OnnxRuntimeBackend()
    made.open((LaneSpec("only"),), event_fd, 0)
    made.event_fd = event_fd
    yield made
    made.close()
    os.close(event_fd)


def run(backend, network, segment, frame, outputs):
    backend.start(0, network, segment, frame, outputs)
    completion = backend.completion(0)
    while not completion.done:
        assert select.select([backend.event_fd], [], [], 30.0)[0]
        os.eventfd_read(backend.event_fd)
    completion.done = False
    return completion


def test_outputs_are_what_the_network_computes(backend, make_network, tmp_path):
    compiled = backend.compile(make_network(), tmp_path)
    network = backend.load(compiled, 0)
    frame = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    means = np.zeros(3, np.float32)
    assert run(backend, network, 0, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


def test_a_dynamic_output_tells_its_extents(backend, make_network, tmp_path):
    compiled = backend.compile(make_network("bright"), tmp_path)
    assert compiled.dynamic_outputs == ("bright",)
    network = backend.load(compiled, 0)
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[2, 3, 1] = frame[5, 6, 2] = 9
    room = np.zeros(100, np.int64)
    done = run(backend, network, 0, frame, [room])
    assert done.shapes == ((3, 2),)
    np.testing.assert_array_equal(room[:6].reshape(3, 2), [[2, 5], [3, 6], [1, 2]])


def test_an_output_larger_than_its_slot_is_an_error_of_that_run_alone(
    backend, make_network, tmp_path
):
    compiled = backend.compile(make_network("bright"), tmp_path)
    network = backend.load(compiled, 0)
    room = np.zeros(30, np.int64)
    assert (
        "larger than its slot"
        in run(backend, network, 0, np.ones((16, 24, 3), np.uint8), [room]).error
    )
    assert not room.any()
    assert run(backend, network, 0, np.zeros((16, 24, 3), np.uint8), [room]).shapes == ((3, 0),)


def test_a_frame_of_another_dtype_is_refused(backend, make_network, tmp_path):
    network = backend.load(backend.compile(make_network(), tmp_path), 0)
    done = run(backend, network, 0, np.ones((4, 4, 3), np.float32), [np.zeros(3, np.float32)])
    assert "does not fit" in done.error


def test_segments_hand_their_tensors_on(backend, make_network, tmp_path):
    """The means network, cut in two by hand, gives the same as the whole."""
    cast = helper.make_graph(
        [helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT)],
        "head",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, ["h", "w", 3])],
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, ["h", "w", 3])],
    )
    mean = helper.make_graph(
        [helper.make_node("ReduceMean", ["real"], ["means"], axes=[0, 1], keepdims=0)],
        "tail",
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, ["h", "w", 3])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [3])],
    )
    paths = []
    for graph in (cast, mean):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        paths.append(str(tmp_path / f"{graph.name}.onnx"))
        onnx.save(model, paths[-1])
    compiled = replace(backend.compile(make_network(), tmp_path), paths=tuple(paths))
    network = backend.load(compiled, 0)
    assert network.segments == 2
    frame = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
    means = np.zeros(3, np.float32)
    for segment in range(2):
        assert run(backend, network, segment, frame, [means]).error == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


def test_sessions_use_one_thread_and_never_spin():
    options = session_options()
    assert options.intra_op_num_threads == options.inter_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_a_broken_file_is_a_model_error_and_leaves_nothing_in_the_cache(
    backend, make_network, tmp_path
):
    network = make_network()
    network.path.write_bytes(b"\x08\x09 not a network")
    cache = tmp_path / "cache"
    with pytest.raises(ModelError):
        backend.compile(network, cache)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_damaged_cache_is_made_again(backend, make_network, tmp_path):
    network = make_network()
    first = backend.compile(network, tmp_path)
    Path(first.paths[0]).with_suffix(".json").write_text("{half")
    again = backend.compile(network, tmp_path)
    assert replace(again, arena_bytes=first.arena_bytes) == first
    assert Path(first.paths[0]).with_suffix(".json").read_text().endswith("}")


def test_outputs_the_graph_states_are_not_dynamic(backend, make_network, tmp_path):
    compiled = backend.compile(make_network(), tmp_path)
    assert compiled.dynamic_outputs == ()
    assert compiled.outputs == (TensorInfo("means", "float32", (3,)),)
