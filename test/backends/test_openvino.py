"""OpenVINO on the CPU, its own ways; what every backend has to do is in test_contract.py."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aegis_ros.backends import Completion, Part, Work, capabilities_of, create_backend
from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.kept import without_files
from aegis_ros.backends.openvino import build_child, toolkit
from aegis_ros.backends.openvino.backend import (
    OpenVinoBackend,
    OpenVinoGpuBackend,
    OpenVinoNpuBackend,
)
from aegis_ros.backends.openvino.kernels import kernel_times
from aegis_ros.backends.openvino.network import named_as
from aegis_ros.backends.openvino.refusals import openvino_failure, openvino_text
from aegis_ros.backends.outputs import output_arrays
from aegis_ros.backends.parts import cut_source
from aegis_ros.errors import BackendError, ModelError
from aegis_ros.network import NetworkInput, PreparedNetwork, TensorInfo
from aegis_ros.rationale.loading import MemoryUsedUp, OperatorMissing, RuntimeRefuses
from aegis_ros.spec import FrameFormat, LaneSpec
from test.backends.extras import needs

needs_openvino = needs("openvino")
Make = Callable[..., PreparedNetwork]
RUNS = 200


class Lane:
    """An opened backend with one lane."""

    def __init__(self, backend: OpenVinoBackend) -> None:
        self.backend = backend
        self.ended: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        backend.open((LaneSpec("only"),), self._ended, 0)

    def _ended(self, token: int, done: Completion) -> None:
        self.ended.put((done.error, done.shapes))

    def run(self, network: Any, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> Any:
        """Run all segments; return the error and the shapes of the last one."""
        said: tuple[str, Any] = "", None
        for segment in range(network.segments):
            self.backend.start(0, Work([Part(network, inputs, outputs)], step=segment))
            said = self.ended.get(timeout=100.0)
        return said


@pytest.fixture
def lane() -> Iterator[Lane]:
    opened = Lane(OpenVinoBackend())
    yield opened
    opened.backend.close()


@needs_openvino
def test_outputs_are_what_the_network_computes(
    lane: Lane, make_network: Make, tmp_path: Path
) -> None:
    network = lane.backend.load(lane.backend.compile(make_network(), tmp_path), 0)
    frame = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    means = np.zeros(3, np.float32)
    assert lane.run(network, [frame], [means])[0] == ""
    np.testing.assert_allclose(means, frame.mean((0, 1)), rtol=1e-5)


@needs_openvino
def test_a_dynamic_output_reports_its_extents_and_keeps_to_its_slot(
    lane: Lane, make_network: Make, tmp_path: Path
) -> None:
    compiled = lane.backend.compile(make_network("bright"), tmp_path)
    assert compiled.dynamic_outputs == ("bright",)
    network = lane.backend.load(compiled, 0)
    frame = np.zeros((16, 24, 3), np.uint8)
    frame[2, 3, 1] = frame[5, 6, 2] = 9
    output = np.zeros(30, np.int64)
    assert lane.run(network, [frame], [output]) == ("", ((3, 2),))
    np.testing.assert_array_equal(output[:6].reshape(3, 2), [[2, 5], [3, 6], [1, 2]])
    said, _ = lane.run(network, [np.ones((16, 24, 3), np.uint8)], [output])
    assert "larger than its slot" in said
    assert lane.run(network, [np.zeros((16, 24, 3), np.uint8)], [output]) == ("", ((3, 0),))


@needs_openvino
def test_a_frame_of_nothing_is_a_frame(lane: Lane, make_network: Make, tmp_path: Path) -> None:
    """As a scan without points is."""
    network = lane.backend.load(lane.backend.compile(make_network("bright"), tmp_path), 0)
    nothing, output = np.zeros((0, 24, 3), np.uint8), np.zeros(30, np.int64)
    assert lane.run(network, [nothing], [output]) == ("", ((3, 0),))


@needs_openvino
def test_takes_several_inputs_in_the_order_of_the_network(
    lane: Lane, make_network: Make, tmp_path: Path
) -> None:
    compiled = lane.backend.compile(make_network("pair"), tmp_path)
    network = lane.backend.load(compiled, 0)
    outputs = output_arrays(compiled)
    inputs = [
        np.full(item.max_shape, index + 3, item.dtype) for index, item in enumerate(compiled.inputs)
    ]
    assert lane.run(network, inputs, outputs)[0] == ""
    np.testing.assert_allclose(outputs[0], [3, 3, 3])
    np.testing.assert_allclose(outputs[1].reshape(-1)[:4], [8, 8, 8, 8])


@needs_openvino
@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (np.ones((17, 24, 3), np.uint8), r"shape=\[\.\.16,\.\.24,3\]"),
        (np.ones((4, 4, 3), np.float32), "u8"),
        (np.ones((4, 8, 3), np.uint8)[:, ::2], "contiguous"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused_in_one_plain_sentence(
    lane: Lane, make_network: Make, tmp_path: Path, frame: np.ndarray, said: str
) -> None:
    network = lane.backend.load(lane.backend.compile(make_network(), tmp_path), 0)
    error, _ = lane.run(network, [frame], [np.zeros(3, np.float32)])
    assert error.startswith("BackendError: ") and "Exception from" not in error
    assert "\n" not in error
    assert re.search(said, error), error


@needs_openvino
@pytest.mark.parametrize("kind", ["means", "bright", "chain"])
def test_runs_on_the_thread_of_the_lane_and_wakes_no_other(
    lane: Lane, make_network: Make, tmp_path: Path, kind: str
) -> None:
    """A thread of the runtime has neither the lane's core nor its priority."""
    compiled = lane.backend.compile(make_network(kind), tmp_path)
    network = lane.backend.load(compiled, 0)
    outputs = output_arrays(compiled)
    shapes = ((16, 24, 3), (8, 24, 3))
    ours = {thread.native_id for thread in threading.enumerate()}
    before = switches()
    for number in range(RUNS):
        frame = np.full(shapes[number % 2], number % 7, np.uint8)
        assert lane.run(network, [frame], outputs)[0] == ""
    after = switches()
    woken = {
        thread: count - before.get(thread, 0)
        for thread, count in after.items()
        if thread not in ours
    }
    assert woken  # it has threads, and they sleep
    assert sum(woken.values()) < RUNS / 10


def switches() -> dict[int, int]:
    """Return how often each thread of this process has gone to sleep."""
    found = {}
    for thread in os.listdir("/proc/self/task"):
        text = Path(f"/proc/self/task/{thread}/status").read_text()
        found[int(thread)] = int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return found


@needs_openvino
def test_computes_in_float32_with_one_thread_that_it_leaves_where_it_is(
    lane: Lane, make_network: Make, tmp_path: Path
) -> None:
    """A processor with bfloat16 would compute in it if nothing was said."""
    compiled = lane.backend.compile(make_network(), tmp_path)
    core = toolkit.open_core("openvino", toolkit.CPU)
    loaded = core.import_model(
        BytesIO(Path(compiled.paths[0]).read_bytes()), "CPU", toolkit.CPU.properties
    )
    assert loaded.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert loaded.get_property("INFERENCE_NUM_THREADS") == 1
    assert loaded.get_property("NUM_STREAMS") == 1
    assert loaded.get_property("ENABLE_CPU_PINNING") is False


@needs_openvino
def test_loading_again_and_again_leaves_no_threads_behind(
    lane: Lane, make_network: Make, tmp_path: Path
) -> None:
    compiled = lane.backend.compile(make_network("chain"), tmp_path, 2)
    counts = []
    for _ in range(20):
        network = lane.backend.load(compiled, 0)
        lane.backend.unload(network)
        counts.append(len(os.listdir("/proc/self/task")))
    assert counts[-1] <= counts[4]


@needs_openvino
def test_an_operator_that_openvino_does_not_know_is_named(
    lane: Lane, make_network: Make, tmp_path: Path
) -> None:
    prepared = make_network()
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Det", ["real"], ["means"]),
        ],
        "det",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [3, 3, 3])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, tmp_path / "det.onnx")
    with pytest.raises(ModelError, match="Det"):
        lane.backend.compile(
            replace(prepared, path=tmp_path / "det.onnx", fused_digest="", key="det"), tmp_path
        )


def _request(prepared: PreparedNetwork, folder: Path, parts: int) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    return {
        "source": str(prepared.path),
        "digest": prepared.fused_digest,
        "parts": parts,
        "folder": str(folder),
        "device": "CPU",
        "weight_bytes": 0,
        "activation_bytes": 0,
        "network": without_files("openvino", prepared).to_json(),
    }


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build in the process of the test, whose memory is not to be locked."""
    monkeypatch.setattr(build_child, "second_takes", lambda load: (1, load()))


@needs_openvino
@pytest.mark.own_process
@pytest.mark.usefixtures("small_memory")
def test_parts_that_are_not_the_whole_to_the_bit_are_refused(
    make_network: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = make_network("chain")
    assert len(build_child.answer(_request(prepared, tmp_path / "cut", 2))["paths"]) == 2

    def off_in_the_second_part(
        core: Any, device: Any, compiled: CompiledNetwork, files: Any
    ) -> Any:
        loaded = load(core, device, compiled, files)
        run = loaded.run

        def off_by_one_bit(index: int, inputs: Any, outputs: Any) -> Any:
            shapes = run(index, inputs, outputs)
            if index == 1:
                outputs[0][0] = np.nextafter(outputs[0][0], np.float32(np.inf))
            return shapes

        loaded.run = off_by_one_bit
        return loaded

    load = build_child.load_network
    monkeypatch.setattr(build_child, "load_network", off_in_the_second_part)
    said = build_child.answer(_request(prepared, tmp_path / "off", 2))
    assert said == {"refused": "its output 'means' would differ from that of the whole network"}


@needs_openvino
@pytest.mark.own_process
@pytest.mark.usefixtures("small_memory")
def test_a_network_whose_numbers_are_off_is_refused(
    make_network: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(network: Any, loaded: Any, inputs: Any) -> Any:
        return [each * 2 for each in right(network, loaded, inputs)]

    right = build_child.computed
    monkeypatch.setattr(build_child, "computed", wrong)
    said = build_child.answer(_request(make_network(), tmp_path / "off", 1))
    assert "output 'means' is off from ONNX Runtime's" in said["refused"]


@needs_openvino
def test_what_is_not_exact_is_held_to_a_tolerance_and_runs_the_same_way(
    make_network: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ways of GPU and NPU, tried on the device that is here."""
    stand_in = replace(toolkit.GPU, name="CPU")
    monkeypatch.setattr(OpenVinoGpuBackend, "device", stand_in)
    lane = Lane(OpenVinoGpuBackend())
    try:
        compiled = lane.backend.compile(make_network("chain"), tmp_path, 2)
        assert (compiled.backend, compiled.segments, compiled.note) == ("openvino_gpu", 2, "")
        network, outputs = lane.backend.load(compiled, 0), output_arrays(compiled)
        assert lane.run(network, [np.full((16, 24, 3), 7, np.uint8)], outputs)[0] == ""
        assert all(np.all(values > 0) for values in outputs)
        assert "OpenVINO" in lane.backend.device_name()
    finally:
        lane.backend.close()


class _Core:
    available_devices = ("CPU", "GPU.0", "GPU.1")


class _OpenVino:
    Core = _Core


def test_a_device_that_is_not_there_is_named_with_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolkit, "installed_version", lambda name: "1.0")
    monkeypatch.setattr(toolkit, "load_openvino", lambda: _OpenVino)
    with pytest.raises(BackendError) as caught:
        toolkit.open_core("openvino_npu", toolkit.NPU)
    assert "needs an Intel NPU, and OpenVINO sees only CPU, GPU.0, GPU.1 here" in str(caught.value)
    assert "linux-npu-driver" in str(caught.value)
    assert isinstance(toolkit.open_core("openvino_gpu", toolkit.GPU), _Core)


@pytest.mark.parametrize("name", ["openvino", "openvino_gpu", "openvino_npu"])
def test_without_openvino_the_sentence_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(toolkit, "find_spec", lambda module: None)
    with pytest.raises(BackendError, match=r"pip install 'aegis_ros\[openvino\]'"):
        create_backend(name)


def test_only_the_cpu_computes_on_the_lanes_cores() -> None:
    assert capabilities_of("openvino").on_cores
    assert capabilities_of("openvino").contends == capabilities_of("onnxruntime").contends
    others = [capabilities_of(each.name) for each in (OpenVinoGpuBackend, OpenVinoNpuBackend)]
    assert not any(each.on_cores for each in others)
    assert len({each.contends for each in others}) == 2


@needs_openvino
def test_is_imported_without_what_reports_each_import() -> None:
    code = (
        "import sys; from aegis_ros.backends.openvino.toolkit import load_openvino; "
        "load_openvino().Core(); "
        "print([name for name in sys.modules if 'telemetry' in name or name.endswith('.ovc')]); "
        "from openvino.tools import ovc; print(ovc.__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["[]", "openvino.tools.ovc"]


def test_what_openvino_says_is_told_without_its_own_places() -> None:
    unknown = RuntimeError(
        "Exception from src/inference/src/cpp/core.cpp:105:\n"
        "Check 'false' failed at src/frontends/common_translators/src/unconverted.cpp:151:\n"
        "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.\nSummary:\n"
        "-- No conversion rule found for operations: my.domain.Mystery\nTo facilitate the …\n"
    )
    assert openvino_failure(unknown) == OperatorMissing("Mystery", "my.domain")
    of_onnx = RuntimeError("-- No conversion rule found for operations: Det-17\n")
    assert openvino_failure(of_onnx) == OperatorMissing("Det", "")
    assert openvino_failure(RuntimeError("std::bad_alloc")) == MemoryUsedUp()
    refused = RuntimeError(
        "Exception from src/inference/src/dev/plugin.cpp:54:\nNotFound: Unsupported property X.\n\n"
    )
    assert openvino_failure(refused) == RuntimeRefuses("NotFound: Unsupported property X")
    assert openvino_text(RuntimeError("")) == "RuntimeError"


class _Port:
    def __init__(self, *names: str) -> None:
        self._names = set(names)

    def get_names(self) -> set[str]:
        return self._names


def test_ports_of_one_tensor_have_one_name_each() -> None:
    same = ("first", "second", "inside")
    assert named_as([_Port(*same), _Port(*same)], {"second": 0, "first": 0}) == ["first", "second"]
    assert named_as([_Port("cast", "frame")], {"frame": 0}) == ["frame"]
    assert named_as([_Port("between")], {}) == ["between"]


@needs_openvino
@pytest.mark.own_process
def test_is_cut_where_a_kernel_ends_and_by_what_kernels_take(tmp_path: Path) -> None:
    """A convolution with its activation is one kernel, and far dearer than what follows it."""
    weights = np.random.default_rng(2).normal(size=(16, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["convolved"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["convolved"], ["bent"]),
            helper.make_node("ReduceMean", ["bent"], ["mean"], axes=[2, 3], keepdims=0),
        ],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 16])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path = tmp_path / "conv.onnx"
    onnx.save(model, path)
    core = toolkit.open_core("openvino", toolkit.CPU)
    frames = {"x": np.ones((1, 3, 64, 64), np.float32)}
    times = kernel_times(core, toolkit.CPU, core.read_model(str(path)), frames)
    assert "convolved" not in times and {"bent", "mean"} <= times.keys()
    made = cut_source(path, 2, times={"bent": 900.0, "mean": 500.0})
    assert [[item.name for item in items] for items in made.crossings] == [["bent"]]
    assert made.shares == pytest.approx((1100 / 1700, 600 / 1700))
    with pytest.raises(ModelError, match="can be cut at 0 places"):
        cut_source(path, 2, times={"mean": 500.0})


@needs_openvino
def test_bytes_that_are_resized_are_rounded_nowhere(lane: Lane, tmp_path: Path) -> None:
    """OpenVINO rounds a resized image to whole grey levels in another way than ONNX Runtime."""
    graph = helper.make_graph(
        [
            helper.make_node("Resize", ["frame", "", "", "sizes"], ["small"], mode="linear"),
            helper.make_node("Cast", ["small"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["real", "factor"], ["scaled"]),
        ],
        "resize",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, 3, 50, 70])],
        [helper.make_tensor_value_info("scaled", TensorProto.FLOAT, [1, 3, 32, 48])],
        [
            numpy_helper.from_array(np.array([1, 3, 32, 48], np.int64), "sizes"),
            numpy_helper.from_array(np.float32(1 / 255), "factor"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    path = tmp_path / "resize.onnx"
    onnx.save(model, path)
    shape = (1, 3, 50, 70)
    frame = TensorInfo("frame", "uint8", shape)
    prepared = PreparedNetwork(
        path=path,
        source=path,
        digest="",
        key="resize",
        inputs=(NetworkInput(frame, FrameFormat.CROPS8, shape),),
        outputs=(TensorInfo("scaled", "float32", (1, 3, 32, 48)),),
        weight_bytes=0,
        activation_bytes=0,
        metadata={},
    )
    compiled = lane.backend.compile(prepared, tmp_path / "cache")
    network, outputs = lane.backend.load(compiled, 0), output_arrays(compiled)
    pixels = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    assert lane.run(network, [pixels], outputs)[0] == ""
    levels = outputs[0] * 255
    assert np.abs(levels - np.round(levels)).max() > 0.25
