"""What is special about TVM: compiled without a compiler, run where frames lie, held to numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.outputs import output_arrays
from aegis_ros.backends.tvm import network as network_module
from aegis_ros.backends.tvm.backend import TvmBackend, load_network
from aegis_ros.backends.tvm.library import read_library
from aegis_ros.backends.tvm.network import TvmNetwork
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.network import Feed, PreparedNetwork, prepare
from aegis_ros.spec import PreprocessSpec, ResizeMode
from test.backends.extras import needs

pytestmark = needs("tvm")


@pytest.fixture
def backend() -> TvmBackend:
    return TvmBackend()


def loaded(compiled: CompiledNetwork) -> TvmNetwork:
    with compiled.opened() as files:
        return load_network(compiled, files)


def computed(network: TvmNetwork, compiled: CompiledNetwork, *frames: np.ndarray) -> list:
    outputs = output_arrays(compiled)
    for segment in range(network.segments):
        network.run(segment, frames, outputs)
    return outputs


def small_network(
    folder: Path, preprocess: PreprocessSpec, largest: tuple[int, ...] = (24, 40, 3)
) -> PreparedNetwork:
    """A convolution with our preprocessing in front of it."""
    weights = np.random.default_rng(5).normal(size=(4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "weights"], ["sums"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["sums"], ["output"]),
        ],
        "small",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 12, 16])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 4, 12, 16])],
        [numpy_helper.from_array(weights, "weights")],
    )
    path = folder / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return prepare(path, [Feed(preprocess, largest)], cache_dir=folder / "cache")


@pytest.mark.parametrize("shape", [(24, 40, 3), (12, 16, 3), (7, 33, 3), (24, 3, 3)])
def test_frames_of_any_size_are_resized_as_onnx_says(backend, tmp_path, shape):
    prepared = small_network(tmp_path, PreprocessSpec(size=(12, 16), scale=1 / 255))
    compiled = backend.compile(prepared, tmp_path)
    frame = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    (found,) = computed(loaded(compiled), compiled, frame)
    session = onnxruntime.InferenceSession(str(prepared.path))
    (wanted,) = session.run(None, {prepared.frame_input.name: frame})
    # ONNX Runtime resizes bytes to whole grey levels, of which 27 products are added up.
    assert np.max(np.abs(found - wanted)) < 27 * np.max(np.abs(wanted)) / 255
    assert np.max(np.abs(wanted)) > 0.1


@pytest.mark.parametrize(
    ("resize", "largest"),
    [
        (ResizeMode.LETTERBOX, (24, 40, 3)),
        (ResizeMode.CROP, (24, 40, 3)),
        (ResizeMode.PAD, (10, 12, 3)),
    ],
)
def test_a_frame_whose_extents_decide_how_it_is_resized_is_refused_with_what_to_set(
    backend, tmp_path, resize, largest
):
    prepared = small_network(tmp_path, PreprocessSpec(size=(12, 16), resize=resize), largest)
    with pytest.raises(ModelError, match=r"preprocess\.resize: TVM cannot.*`resize: stretch`"):
        backend.compile(prepared, tmp_path)


@pytest.mark.usefixtures("asked_anew")
def test_it_compiles_and_runs_where_there_is_no_compiler(
    backend, make_network, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    compiled = backend.compile(make_network(), tmp_path)
    (found,) = computed(loaded(compiled), compiled, np.full((16, 24, 3), 7, np.uint8))
    assert found.tolist() == [7.0, 7.0, 7.0]


def test_an_engine_loads_neither_the_compiler_nor_a_thread_of_its_own(
    backend, make_network, tmp_path
):
    compiled = backend.compile(make_network(), tmp_path)
    program = f"""
import os
import numpy as np
from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.tvm.backend import TvmBackend, load_network
from aegis_ros.backends.outputs import output_arrays
TvmBackend.warm()
before = len(os.listdir("/proc/self/task"))
compiled = CompiledNetwork.from_json({compiled.to_json()!r})
network = load_network(compiled, compiled.paths)
network.run(0, [np.ones((16, 24, 3), np.uint8)], output_arrays(compiled))
print(len(os.listdir("/proc/self/task")) - before)
print("libtvm_compiler" in open("/proc/self/maps").read())
print("TVM_USE_RUNTIME_LIB" in os.environ)
"""
    root = str(Path(__file__).parents[2])
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert ran.stdout.split() == ["0", "False", "False"]


def test_frames_are_read_where_they_lie_and_copied_only_where_that_is_not_aligned(
    backend, make_network, tmp_path, monkeypatch
):
    compiled = backend.compile(make_network(), tmp_path)
    network = loaded(compiled)
    copied = []
    copy = network_module._aligned_copy
    monkeypatch.setattr(
        network_module, "_aligned_copy", lambda values: copied.append(1) or copy(values)
    )
    memory = np.zeros(16 * 24 * 3 + 128, np.uint8)
    start = -memory.ctypes.data % 64
    for offset, copies in ((0, 0), (4, 1)):
        frame = memory[start + offset :][: 16 * 24 * 3].reshape(16, 24, 3)
        frame[:] = 9
        assert computed(network, compiled, frame)[0].tolist() == [9.0, 9.0, 9.0]
        frame[:] = 11  # nothing of the frame before is kept
        assert computed(network, compiled, frame)[0].tolist() == [11.0, 11.0, 11.0]
        assert len(copied) == 2 * copies


def test_a_frame_that_nobody_may_write_to_is_read_as_well(backend, make_network, tmp_path):
    compiled = backend.compile(make_network(), tmp_path)
    frame = np.full((16, 24, 3), 3, np.uint8)
    frame.flags.writeable = False
    assert computed(loaded(compiled), compiled, frame)[0].tolist() == [3.0, 3.0, 3.0]


def test_a_frame_larger_than_what_memory_was_planned_for_is_an_error_of_its_run(
    backend, make_network, tmp_path
):
    compiled = backend.compile(make_network("chain"), tmp_path)
    network = loaded(compiled)
    with pytest.raises(BackendError, match="attempted to allocate"):
        computed(network, compiled, np.ones((64, 64, 3), np.uint8))
    frame = np.ones((16, 24, 3), np.uint8)
    before = computed(loaded(compiled), compiled, frame)
    after = computed(network, compiled, frame)
    assert [each.tobytes() for each in after] == [each.tobytes() for each in before]


def test_outputs_as_large_as_the_frame_come_with_their_extents_and_keep_no_memory(
    backend, make_network, tmp_path
):
    compiled = backend.compile(make_network("pair"), tmp_path)
    assert compiled.dynamic_outputs == ("doubled",)
    assert not read_library(compiled.paths[0]).signature.pooled
    network = loaded(compiled)
    frame, numbers = np.ones((4, 4, 3), np.uint8), np.full((1, 2, 1, 3, 1, 2, 1), 3, np.float32)
    outputs = output_arrays(compiled)
    assert network.run(0, [frame, numbers], outputs) == ((3,), numbers.shape)
    assert outputs[1][: numbers.size].tolist() == [6.0] * numbers.size


def test_what_an_engine_could_not_run_is_refused_when_it_is_built(backend, make_network, tmp_path):
    with pytest.raises(ModelError, match="the runtime has no operator nonzero"):
        backend.compile(make_network("bright"), tmp_path)


def test_memory_is_the_same_for_frames_of_every_size(backend, make_network, tmp_path):
    compiled = backend.compile(make_network("chain"), tmp_path)
    assert read_library(compiled.paths[0]).signature.pooled
    assert compiled.dynamic_outputs == ()


def test_a_file_that_is_something_else_is_refused(backend, make_network, tmp_path):
    compiled = replace(backend.compile(make_network(), tmp_path), digests=())
    other = tmp_path / "other.tar"
    other.write_bytes(Path(compiled.paths[0]).read_bytes()[:600])
    for content in (other.read_bytes(), b"\x7fELF", b""):
        other.write_bytes(content)
        with pytest.raises(BackendError, match="is no compiled network"):
            backend.load(replace(compiled, paths=(str(other),)), 0)


def test_a_cut_network_computes_to_the_bit_what_the_whole_one_does(backend, tmp_path, make_network):
    prepared = make_network("exits")
    frame = np.random.default_rng(2).integers(0, 256, (16, 24, 3), np.uint8)
    ways = [backend.compile(prepared, tmp_path, parts) for parts in (1, 4)]
    assert [each.segments for each in ways] == [1, 4]
    made = [[one.tobytes() for one in computed(loaded(each), each, frame)] for each in ways]
    assert made[0] == made[1]


def test_it_is_named_with_its_version_and_processor(backend):
    assert f", TVM {backend._version}" in backend.device_name()
