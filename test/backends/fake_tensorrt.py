"""As much of TensorRT's Python interface as the backend calls, computing with ONNX Runtime."""

from __future__ import annotations

import ctypes
import enum
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from aegis_ros.backends.cuda.trt.backend import TensorRtBackend
from aegis_ros.backends.cuda.trt.build_child import build
from aegis_ros.backends.cuda.trt.toolkit import Toolkit
from test.backends.fake_cuda import FakeDriver, Work

_MAGIC = b"an engine of the fake TensorRT\n"
_ACTIVATION_BYTES = 4096
_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}


class FakeTensorRt:
    """The module ``tensorrt`` over a :class:`FakeDriver`.

    Attributes:
        deaf: names of calls that say no (``False`` or ``None``), as TensorRT does.
        noise: added to every float output, to compute something else than the network.
        activation_bytes: what engines say they need.
    """

    __name__ = "tensorrt"
    __version__ = "10.3.0"

    def __init__(self, driver: FakeDriver) -> None:
        self.deaf: set[str] = set()
        self.noise = 0.0
        self.activation_bytes = _ACTIVATION_BYTES
        self.built = 0
        self.built_with: list[frozenset[Any]] = []
        self._driver = driver

    # -- names of the module ------------------------------------------------------------------

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    class IOutputAllocator:
        pass

    class IProgressMonitor:
        pass

    class NetworkDefinitionCreationFlag(enum.IntEnum):
        STRONGLY_TYPED = 1

    class BuilderFlag(enum.Enum):
        TF32 = 7

    class ExecutionContextAllocationStrategy(enum.Enum):
        USER_MANAGED = 2

    class TensorLocation(enum.Enum):
        DEVICE = 0
        HOST = 1

    class TensorIOMode(enum.Enum):
        INPUT = 1
        OUTPUT = 2

    @staticmethod
    def nptype(dtype: str) -> type[np.generic]:
        return np.dtype(dtype).type

    def Builder(self, log: Any) -> Any:
        return _Builder(self, log)

    def OnnxParser(self, network: Any, log: Any) -> Any:
        return _Parser(network)

    def Runtime(self, log: Any) -> Any:
        return _Runtime(self, log)


class _Builder:
    def __init__(self, owner: FakeTensorRt, log: Any) -> None:
        self.owner, self.log = owner, log

    def create_network(self, flags: int) -> Any:
        assert flags == 2, "strongly typed networks only"
        return _Network()

    def create_builder_config(self) -> Any:
        return _Config()

    def create_optimization_profile(self) -> Any:
        return _Profile()

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        assert config.max_aux_streams == 0
        assert config.cache is not None
        monitor = config.progress_monitor
        monitor.phase_start("Building", None, 2)
        monitor.phase_start("Timing", "Building", 9)
        for step in range(2):
            assert monitor.step_complete("Building", step)
        monitor.phase_finish("Timing")
        monitor.phase_finish("Building")
        if "build_serialized_network" in self.owner.deaf:
            self.log.log(self.owner.ILogger.ERROR, "could not find any implementation")
            return None
        self.owner.built += 1
        self.owner.built_with.append(frozenset(config.flags))
        known = json.dumps(config.profile.shapes).encode()
        return _MAGIC + known + b"\n" + network.model.SerializeToString()


class _Network:
    model: onnx.ModelProto

    @property
    def num_inputs(self) -> int:
        return len(self.model.graph.input)

    def get_input(self, index: int) -> Any:
        item = self.model.graph.input[index]
        extents = [
            dim.dim_value if dim.HasField("dim_value") else -1
            for dim in item.type.tensor_type.shape.dim
        ]

        class _Tensor:
            name = item.name
            shape = extents

        return _Tensor


class _Parser:
    num_errors = 1

    def __init__(self, network: _Network) -> None:
        self.network = network

    def parse_from_file(self, path: str) -> bool:
        try:
            self.network.model = onnx.load(path)
            onnx.checker.check_model(self.network.model)
        except Exception:
            return False
        return True

    def get_error(self, index: int) -> Any:
        class _Error:
            @staticmethod
            def desc() -> str:
                return "no importer for this operator"

            @staticmethod
            def node_operator() -> str:
                return "Unheard"

            @staticmethod
            def node_name() -> str:
                return "of"

        return _Error


class _Config:
    max_aux_streams = 7
    progress_monitor: Any = None
    cache: Any = None
    profile: Any = None

    def __init__(self) -> None:
        self.flags = {FakeTensorRt.BuilderFlag.TF32}  # as TensorRT sets it

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def create_timing_cache(self, content: bytes) -> Any:
        class _Cache:
            @staticmethod
            def serialize() -> bytes:
                return content + b"."

        return _Cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache

    def add_optimization_profile(self, profile: Any) -> int:
        self.profile = profile
        return 0


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, smallest: Any, best: Any, largest: Any) -> None:
        self.shapes[name] = [list(smallest), list(largest)]


class _Runtime:
    def __init__(self, owner: FakeTensorRt, log: Any) -> None:
        self.owner, self.log = owner, log

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        if not plan.startswith(_MAGIC) or "deserialize_cuda_engine" in self.owner.deaf:
            self.log.log(self.owner.ILogger.ERROR, "the engine plan file is not compatible")
            return None
        profile, model = plan[len(_MAGIC) :].split(b"\n", 1)
        return _Engine(self.owner, self.log, json.loads(profile), model)


class _Engine:
    def __init__(self, owner: FakeTensorRt, log: Any, profile: Any, model: bytes) -> None:
        self.owner, self.log, self.profile = owner, log, profile
        self.model = onnx.load_from_string(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {item.name: item for item in self.session.get_inputs()}
        self.outputs = {item.name: item for item in self.session.get_outputs()}
        self.items = [*self.inputs.values(), *self.outputs.values()]

    @property
    def num_io_tensors(self) -> int:
        return len(self.items)

    @property
    def device_memory_size_v2(self) -> int:
        return self.owner.activation_bytes

    def get_tensor_name(self, index: int) -> str:
        return str(self.items[index].name)

    def get_tensor_mode(self, name: str) -> Any:
        mode = self.owner.TensorIOMode
        return mode.INPUT if name in self.inputs else mode.OUTPUT

    def get_tensor_location(self, name: str) -> Any:
        on_host = "get_tensor_location" in self.owner.deaf and name in self.outputs
        return self.owner.TensorLocation.HOST if on_host else self.owner.TensorLocation.DEVICE

    def get_tensor_dtype(self, name: str) -> str:
        return _DTYPES[({**self.inputs, **self.outputs})[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        item = ({**self.inputs, **self.outputs})[name]
        return tuple(extent if isinstance(extent, int) else -1 for extent in item.shape)

    def create_execution_context(self, strategy: Any) -> Any:
        assert strategy is self.owner.ExecutionContextAllocationStrategy.USER_MANAGED
        return None if "create_execution_context" in self.owner.deaf else _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self.engine = engine
        self.driver = engine.owner._driver
        self.shapes = {
            name: engine.get_tensor_shape(name)
            for name in engine.inputs
            if -1 not in engine.get_tensor_shape(name)
        }
        self.addresses: dict[str, int] = {}
        self.allocators: dict[str, Any] = {}
        self.memory = (0, 0)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        fixed = self.engine.get_tensor_shape(name)  # of inputs that no profile names
        smallest, largest = self.engine.profile.get(name, (fixed, fixed))
        if len(shape) != len(smallest) or not all(
            low <= extent <= high
            for low, extent, high in zip(smallest, shape, largest, strict=True)
        ):
            return False
        self.shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name in self.engine.inputs:
            return self.shapes.get(name, self.engine.get_tensor_shape(name))
        model = onnx.ModelProto()
        model.CopyFrom(self.engine.model)
        del model.graph.value_info[:]
        for item in model.graph.input:
            if item.name in self.shapes:
                for dim, extent in zip(
                    item.type.tensor_type.shape.dim, self.shapes[item.name], strict=True
                ):
                    dim.dim_value = extent
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        found = next(item for item in inferred.graph.output if item.name == name)
        return tuple(
            dim.dim_value if dim.HasField("dim_value") else -1
            for dim in found.type.tensor_type.shape.dim
        )

    def get_max_output_size(self, name: str) -> int:
        return sum(8 * 3 * int(np.prod(shape)) for shape in self.shapes.values())

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return "set_tensor_address" not in self.engine.owner.deaf

    def set_output_allocator(self, name: str, allocator: Any) -> bool:
        self.allocators[name] = allocator
        return True

    def set_device_memory(self, address: int, nbytes: int) -> None:
        assert address % 256 == 0
        assert nbytes >= self.engine.device_memory_size_v2
        self.memory = (address, nbytes)

    def execute_async_v3(self, stream: int) -> bool:
        engine = self.engine
        if "execute_async_v3" in engine.owner.deaf:
            engine.log.log(engine.owner.ILogger.ERROR, "enqueue failed")
            return False
        assert self.memory[1] >= engine.device_memory_size_v2, "no activation memory"
        assert set(self.addresses) | set(self.allocators) >= {item.name for item in engine.items}
        assert set(self.shapes) == set(engine.inputs), "an input has no shape"
        if self.allocators:
            if self.driver.capturing(stream):
                return False
            self.driver.drain(stream)  # extents are known only once it has run
            self._compute(dict(self.shapes), dict(self.addresses), stream)
            return True
        shapes, addresses, memory = dict(self.shapes), dict(self.addresses), self.memory

        def unchanged() -> None:
            assert self.shapes == shapes, "a graph of a context whose shapes were changed"
            assert self.memory == memory, "a graph of a context whose memory was changed"

        used = [(addresses[name], self._nbytes(name)) for name in addresses]
        self.driver.put(
            stream,
            Work(
                "segment",
                lambda: self._compute(shapes, addresses, stream),
                device=[*used, memory],
                exclusive=[memory],
                check=unchanged,
            ),
        )
        return True

    def _nbytes(self, name: str) -> int:
        dtype = np.dtype(self.engine.get_tensor_dtype(name))
        return int(np.prod(self.get_tensor_shape(name))) * dtype.itemsize

    def _compute(self, shapes: Any, addresses: dict[str, int], stream: int) -> None:
        engine = self.engine
        ctypes.memset(self.memory[0], 0xA5, self.memory[1])
        fed = {}
        for name in engine.inputs:
            dtype = np.dtype(engine.get_tensor_dtype(name))
            nbytes = int(np.prod(shapes[name])) * dtype.itemsize
            raw = ctypes.string_at(addresses[name], nbytes)
            fed[name] = np.frombuffer(raw, dtype).reshape(shapes[name])
        for name, values in zip(engine.outputs, engine.session.run(None, fed), strict=True):
            made = np.ascontiguousarray(values)
            if engine.owner.noise and made.dtype.kind == "f":
                made = made + np.asarray(engine.owner.noise, made.dtype)
            address = addresses[name]
            if name in self.allocators:
                allocator = self.allocators[name]
                size = max(made.nbytes, 1)
                address = allocator.reallocate_output_async(name, 0, size, 256, stream)
                assert address == allocator.reallocate_output(name, 0, size, 256)
                allocator.notify_shape(name, made.shape)
            ctypes.memmove(address, made.ctypes.data, made.nbytes)


def fake_toolkit(driver: FakeDriver | None = None) -> Toolkit:
    """Return a fake TensorRT over a fake driver."""
    made = driver or FakeDriver()
    return Toolkit(FakeTensorRt(made), made)


def fake_backend(toolkit: Toolkit | None = None, **options: Any) -> TensorRtBackend:
    """Return the backend over fakes; engines are built on a GPU of their own, as in a child."""
    used = toolkit or fake_toolkit()

    def built(request: dict[str, Any]) -> dict[str, Any]:
        driver = FakeDriver()
        other = fake_toolkit(driver)
        other.trt.deaf = used.trt.deaf
        other.trt.noise = used.trt.noise
        answer = build(request, other)
        used.trt.built += other.trt.built
        used.trt.built_with += other.trt.built_with
        assert not any(driver.held.values()), driver.held
        assert Path(request["folder"]).is_dir()
        return answer

    return TensorRtBackend(used, build=built, **options)
