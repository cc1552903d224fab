"""Every name we use of NVIDIA's packages exists there, wherever one of them can be imported."""

from __future__ import annotations

import ast
import ctypes
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aegis_ros.backends.cuda import OUT_OF_MEMORY, STICKY, bindings
from aegis_ros.backends.cuda.bindings import BindingsDriver
from aegis_ros.backends.cuda.trt import build_child
from aegis_ros.backends.cuda.trt.build_child import build_engine
from aegis_ros.backends.parts import cut_source
from aegis_ros.config import load_config
from aegis_ros.errors import ModelError
from aegis_ros.network import Feed, TensorInfo, prepare, resolve_model
from aegis_ros.planning.device_load import load_task
from aegis_ros.planning.feeds import feeds, max_shape
from aegis_ros.wcet import Stress

_CONFIG = Path(__file__).resolve().parents[2] / "config" / "demo.yaml"
_FOLDER = Path(build_child.__file__).parent
# What a variable of ours holds, by its name.
_CLASSES = {
    "trt": "",
    "_trt": "",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "network": "INetworkDefinition",
    "tensor": "ITensor",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "error": "ParserError",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
_FILES = {
    "network.py": ("trt", "_trt", "runtime", "engine", "context"),
    "toolkit.py": ("trt",),
    "build_child.py": (
        "trt",
        "builder",
        "config",
        "parser",
        "network",
        "tensor",
        "profile",
        "error",
    ),
}
_OURS = {
    "problem",
    "code",
    "source",
    "frame_input",
    "inputs",
    "max_shape",
    "outputs",
}  # of ours, under the same names


def used_of_tensorrt() -> set[tuple[str, str]]:
    """Return (class, attribute) of all that the code asks of TensorRT."""
    found = set()
    for name, variables in _FILES.items():
        for node in ast.walk(ast.parse((_FOLDER / name).read_text())):
            if not isinstance(node, ast.Attribute):
                continue
            holder = node.value
            of = holder.id if isinstance(holder, ast.Name) else getattr(holder, "attr", "")
            if of in variables and node.attr not in _OURS:
                found.add((_CLASSES[of], node.attr))
            if isinstance(holder, ast.Attribute) and getattr(holder.value, "id", "") == "trt":
                found.add((holder.attr, node.attr))
    return found


def installed(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except (ImportError, OSError):
            continue
    pytest.skip(f"the Python package {' or '.join(names)}")


def test_the_list_of_what_is_used_is_not_empty():
    used = used_of_tensorrt()
    assert {
        ("Runtime", "deserialize_cuda_engine"),
        ("IExecutionContext", "execute_async_v3"),
        ("ICudaEngine", "device_memory_size_v2"),
        ("IBuilderConfig", "progress_monitor"),
        ("IBuilderConfig", "clear_flag"),
        ("BuilderFlag", "TF32"),
        ("", "IOutputAllocator"),
    } <= used
    assert len(used) > 40


@pytest.mark.parametrize(
    "package",
    ["tensorrt", "tensorrt_rtx", "tensorrt_lean", "tensorrt_bindings", "tensorrt_lean_bindings"],
)
def test_tensorrt_has_all_that_is_used_of_it(package):
    trt = installed(package)
    if not hasattr(trt, "Runtime"):
        pytest.skip(f"{package} is an empty namespace here")
    lean = not hasattr(trt, "Builder")  # it runs engines and cannot build them
    builds = {"Builder", "BuilderFlag", "OnnxParser", "NetworkDefinitionCreationFlag"}
    builds |= {"IProgressMonitor", "IBuilderConfig", "INetworkDefinition", "ITensor"}
    builds |= {"ITimingCache", "ParserError"}
    missing = []
    for owner, name in sorted(used_of_tensorrt()):
        if lean and (owner in builds or name in builds or owner == "IOptimizationProfile"):
            continue
        holder = getattr(trt, owner, None) if owner else trt
        if not hasattr(holder, name):
            missing.append(f"{owner}.{name}".lstrip("."))
    assert missing == []


def test_cuda_python_has_all_that_is_used_of_it():
    cuda = installed("cuda.bindings.driver", "cuda.cuda")
    tree = ast.parse(Path(bindings.__file__).read_text())
    calls = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") == "_do"
        and isinstance(node.args[0], ast.Constant)
    }
    assert len(calls) > 25
    assert [call for call in sorted(calls) if not hasattr(cuda, str(call))] == []
    flags = {
        (node.value.attr, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr.startswith("CU")
    }
    assert flags
    assert [flag for flag in flags if not hasattr(getattr(cuda, flag[0]), flag[1])] == []
    assert int(cuda.CU_MEMHOSTALLOC_PORTABLE) == 1
    assert int(cuda.CUresult.CUDA_ERROR_OUT_OF_MEMORY) == OUT_OF_MEMORY


def test_results_after_which_a_context_is_lost_are_those_cuda_names():
    cuda = installed("cuda.bindings.driver", "cuda.cuda")
    names = {cuda.CUresult(code).name.removeprefix("CUDA_ERROR_") for code in STICKY}
    assert names == {
        "DEINITIALIZED",
        "ECC_UNCORRECTABLE",
        "CONTAINED",
        "ILLEGAL_ADDRESS",
        "LAUNCH_TIMEOUT",
        "CONTEXT_IS_DESTROYED",
        "ASSERT",
        "HARDWARE_STACK_ERROR",
        "ILLEGAL_INSTRUCTION",
        "MISALIGNED_ADDRESS",
        "INVALID_ADDRESS_SPACE",
        "INVALID_PC",
        "LAUNCH_FAILED",
        "TENSOR_MEMORY_LEAK",
        "UNKNOWN",
    }


def test_cuda_python_takes_plain_integers_up_to_the_driver_it_does_not_find():
    """A wrong type would be reported before the driver is looked for."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("with a driver these handles would be used")
    driver = BindingsDriver.__new__(BindingsDriver)
    driver._cuda = installed("cuda.bindings.driver", "cuda.cuda")
    driver._graphs = {7: driver._cuda.CUgraph(9)}
    driver._partitions = {11: driver._cuda.CUgreenCtx(11)}
    driver._device = 0
    resource = driver._cuda.CUdevResource()
    stream, event, device, host = 3, 5, 4096, 8192
    for work in (
        lambda: driver.memory(),
        lambda: driver.create_stream(1),
        lambda: driver._do("cuStreamCreateWithPriority", 1, -1),
        lambda: driver.destroy_stream(stream),
        lambda: driver.synchronize_stream(stream),
        lambda: driver.create_event(),
        lambda: driver.destroy_event(event),
        lambda: driver.record(event, stream),
        lambda: driver.synchronize(event),
        lambda: driver.allocate(64),
        lambda: driver.free(device),
        lambda: driver.allocate_pinned(64),
        lambda: driver.free_pinned(host),
        lambda: driver.copy_in(device, host, 64, stream),
        lambda: driver.copy_out(host, device, 64, stream),
        lambda: driver.wait(stream, event),
        lambda: driver.pin(host, 64),
        lambda: driver.unpin(host),
        lambda: driver._do("cuDeviceGetDevResource", 0, driver._cuda.CUdevResourceType(1)),
        lambda: driver._do("cuDevSmResourceSplitByCount", 1, resource, 0, 4),
        lambda: driver._do("cuDevResourceGenerateDesc", [resource], 1),
        lambda: driver._do("cuGreenCtxCreate", driver._cuda.CUdevResourceDesc(5), 0, 1),
        lambda: driver._do("cuGreenCtxStreamCreate", driver._partitions[11], 1, -1),
        lambda: driver.unite(11),
        lambda: driver.begin_capture(stream),
        lambda: driver.end_capture(stream),
        lambda: driver._do("cuGraphInstantiate", driver._cuda.CUgraph(9), 0),
        lambda: driver._do("cuGraphUpload", 7, stream),
        lambda: driver.launch(7, stream),
        lambda: driver.destroy_graph(7),
        lambda: driver._do("cuGraphDestroy", driver._cuda.CUgraph(9)),
        lambda: driver._do("cuDevicePrimaryCtxSetFlags", 0, 4),
        lambda: driver._do("cuDevicePrimaryCtxRetain", 0),
        lambda: driver._do("cuDevicePrimaryCtxRelease", 0),
        lambda: driver._do("cuDeviceGetName", 128, 0),
        lambda: driver._do("cuDeviceGetPCIBusId", 32, 0),
    ):
        with pytest.raises(Exception, match=r"driver|libcuda"):
            work()


def rtx() -> Any:
    """TensorRT-RTX, the only one that builds without a driver."""
    trt = installed("tensorrt_rtx")
    if not hasattr(trt, "Builder"):
        pytest.skip("tensorrt_rtx is an empty namespace here")
    return trt


def test_the_real_builder_builds_an_engine_and_keeps_its_timing_cache(make_network, tmp_path):
    reported: list[float] = []
    prepared = make_network("chain")
    build_engine(
        rtx(),
        prepared.path,
        tmp_path / "engine",
        frame=(prepared.frame_input, prepared.max_shape),
        timing_cache=tmp_path / "timing.cache",
        progress=lambda phase, done: reported.append(done),
    )
    assert (tmp_path / "engine").stat().st_size > 0
    assert (tmp_path / "timing.cache").exists()
    assert reported and max(reported) == 1.0


def test_the_real_parser_reports_what_it_cannot_take(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Einstein", ["frame"], ["out"])],
        "unknown",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "unknown.onnx")
    with pytest.raises(ModelError, match=r"cannot parse the network \(.*Einstein"):
        build_engine(
            rtx(),
            tmp_path / "unknown.onnx",
            tmp_path / "engine",
            frame=(TensorInfo("frame", "float32", (2,)), (2,)),
        )
    assert not (tmp_path / "engine").exists()


def test_the_real_module_names_types_as_numpy_does():
    trt = rtx()
    assert np.dtype(trt.nptype(trt.DataType.UINT8)) == np.uint8
    assert np.dtype(trt.nptype(trt.DataType.INT64)) == np.int64
    assert np.dtype(trt.nptype(trt.DataType.FLOAT)) == np.float32


@pytest.mark.parametrize("stress", [Stress.MEMORY, Stress.COMPUTE])
def test_the_real_builder_takes_what_loads_a_device(stress, tmp_path):
    trt = rtx()
    task = load_task(stress, tmp_path)
    prepared = prepare(Path(task.model), feeds(task), cache_dir=tmp_path / "cache")
    frame = (prepared.frame_input, prepared.max_shape)
    build_engine(trt, prepared.path, tmp_path / "engine", frame=frame)
    assert (tmp_path / "engine").stat().st_size > 0


_TASKS = load_config(_CONFIG).tasks
_SCATTERS = {"obstacles"}  # TensorRT has no ScatterElements with a reduction


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("task", _TASKS, ids=lambda task: task.name)
def test_the_real_builder_takes_the_demos_networks(task, parts, tmp_path, shared_cache):
    trt = rtx()
    root = _CONFIG.parents[1]
    model = task.model.replace("package://aegis_ros", str(root / "aegis_ros"))
    prepared = prepare(
        resolve_model(model, [str(root)]),
        (Feed(task.preprocess, max_shape(task)),),
        cache_dir=shared_cache,
        dimensions=task.dimensions,
    )
    source = build_child._typed(prepared.path, tmp_path)
    frame = (prepared.frame_input, prepared.max_shape)
    if task.name in _SCATTERS:
        with pytest.raises(ModelError, match="ScatterElements"):
            build_engine(trt, source, tmp_path / "engine", frame=frame)
        return
    sources = [source] if parts == 1 else cut_source(source, parts).save(tmp_path)
    for number, part in enumerate(sources):
        build_engine(trt, part, tmp_path / f"{number}.engine", frame=frame)
        assert (tmp_path / f"{number}.engine").stat().st_size > 10_000
