"""As much of ONNX Runtime's Python interface as the CUDA backend calls, over a fake driver.

Sessions compute with the real ONNX Runtime on the CPU, on memory of the fake driver, when the
stream they were given is waited for.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from aegis_ros.backends.cuda.ort.backend import OnnxRuntimeCudaBackend
from aegis_ros.backends.cuda.ort.build_child import build
from aegis_ros.backends.cuda.ort.toolkit import PROVIDER, OrtToolkit
from test.backends.fake_cuda import FakeDriver, Work

_ARENA_BYTES = 4096
Array = np.ndarray[Any, Any]


class FakeOrt:
    """The module ``onnxruntime`` with a CUDA provider over a :class:`FakeDriver`.

    Attributes:
        stale: whether sessions return what they computed for the first frame, for ever.
        noise: added to every output of real numbers.
        on_cpu: operators that run on the CPU, as a profile tells.
        copies: whether a profile tells of copies between the devices.
        uncapturable: names of files (without suffix) whose sessions wait for their stream, which
            spoils a capture, and the stream for ever.
        host_calls: whether sessions put a call back into the host on their stream.
        silent: whether sessions put nothing on their stream, and compute at once.
        broken: whether the provider does not start.
        refuses: whether runs raise.
        options: of the provider, of all sessions.
        more_bytes: what each of the next sessions takes beyond the usual.
    """

    __version__ = "1.31.1"

    def __init__(self, driver: FakeDriver) -> None:
        self.driver = driver
        self.stale = False
        self.noise = 0.0
        self.on_cpu: list[str] = []
        self.copies = False
        self.uncapturable: set[str] = set()
        self.host_calls = False
        self.silent = False
        self.broken = False
        self.refuses = False
        self.options: list[dict[str, str]] = []
        self.more_bytes: list[int] = []
        self.captures_tried = 0
        self.spoilt: set[int] = set()  # streams

    GraphOptimizationLevel = onnxruntime.GraphOptimizationLevel

    class SessionOptions:
        """Takes any attribute."""

        enable_profiling = False
        profile_file_prefix = ""

    class RunOptions:
        def __init__(self) -> None:
            self.entries: dict[str, str] = {}

        def add_run_config_entry(self, key: str, value: str) -> None:
            self.entries[key] = value

    def InferenceSession(
        self, path: str, options: Any, *, providers: list[Any], enable_fallback: int
    ) -> Any:
        assert enable_fallback == 0
        (name, provider), fallback = providers
        assert (name, fallback) == (PROVIDER, "CPUExecutionProvider")
        self.options.append(provider)
        return _Session(self, path, options, provider)


class _Value:
    def __init__(self, shape: tuple[int, ...], address: int) -> None:
        self._shape, self._address = shape, address

    def shape(self) -> list[int]:
        return list(self._shape)

    def data_ptr(self) -> int:
        return self._address


class _Binding:
    def __init__(self, session: _Session) -> None:
        self.inputs: dict[str, tuple[Any, tuple[int, ...], int]] = {}
        self.outputs: dict[str, tuple[Any, tuple[int, ...], int] | None] = {}
        self.values: dict[str, _Value] = {}

    def bind_input(
        self, name: str, device: str, number: int, dtype: Any, shape: Any, address: int
    ) -> None:
        assert (device, number) == ("cuda", 0)
        self.inputs[name] = (np.dtype(dtype), tuple(shape), address)

    def bind_output(
        self,
        name: str,
        device: str,
        number: int = 0,
        dtype: Any = None,
        shape: Any = None,
        address: int | None = None,
    ) -> None:
        assert (device, number) == ("cuda", 0)
        known = address is not None
        self.outputs[name] = (np.dtype(dtype), tuple(shape), address) if known else None  # type: ignore[assignment]

    def get_outputs(self) -> list[Any]:
        return [self.values.get(name) for name in self.outputs]


class _Session:
    def __init__(
        self, owner: FakeOrt, path: str, options: Any, provider: Mapping[str, str]
    ) -> None:
        self.owner, self.path = owner, Path(path).resolve()  # of an open file, the file itself
        plain = onnxruntime.SessionOptions()
        plain.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, plain, providers=["CPUExecutionProvider"])
        self.stream = int(provider["user_compute_stream"])
        assert self.stream in owner.driver.streams, "the stream is not there"
        self.profile = Path(f"{options.profile_file_prefix}.json")
        self.profiled = options.enable_profiling
        self.first: dict[str, Array] | None = None
        self.dynamic: dict[str, int] = {}  # output whose extents a run tells -> its memory
        # The arena of a session: released with it, never before.
        more = owner.more_bytes.pop(0) if owner.more_bytes else 0
        self.arena = owner.driver.allocate(_ARENA_BYTES + more)

    def __del__(self) -> None:
        if not hasattr(self, "arena") or self.owner.driver.lost:
            return
        for address in (self.arena, *self.dynamic.values()):
            self.owner.driver.free(address)

    def get_providers(self) -> list[str]:
        return ["CPUExecutionProvider"] if self.owner.broken else [PROVIDER, "CPUExecutionProvider"]

    def get_inputs(self) -> Any:
        return self.session.get_inputs()

    def get_outputs(self) -> Any:
        return self.session.get_outputs()

    def io_binding(self) -> Any:
        return _Binding(self)

    def end_profiling(self) -> str:
        assert self.profiled
        events: list[dict[str, Any]] = [
            {"name": "model_loading", "args": {}},
            {"name": "a", "args": {"op_name": "Conv", "provider": PROVIDER}},
        ]
        events += [
            {"name": name, "args": {"op_name": name, "provider": "CPUExecutionProvider"}}
            for name in self.owner.on_cpu
        ]
        if self.owner.copies:
            events.append({"name": "m", "args": {"op_name": "MemcpyToHost", "provider": PROVIDER}})
        self.profile.write_text(json.dumps(events))
        return str(self.profile)

    def run_with_iobinding(self, binding: _Binding, options: Any) -> None:
        owner, driver = self.owner, self.owner.driver
        assert options.entries == {"disable_synchronize_execution_providers": "1"}
        if owner.refuses or self.stream in owner.spoilt:
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 900")
        assert set(binding.inputs) == {item.name for item in self.get_inputs()}
        assert set(binding.outputs) == {item.name for item in self.get_outputs()}
        capturing = driver.capturing(self.stream)
        owner.captures_tried += capturing
        waits = self.path.stem in owner.uncapturable or any(
            bound is None for bound in binding.outputs.values()
        )
        if waits and capturing:
            owner.spoilt.add(self.stream)
            raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 900: not permitted")
        inputs, outputs = dict(binding.inputs), dict(binding.outputs)
        if waits or owner.silent:
            driver.drain(self.stream)
            self._compute(binding, inputs, outputs)
            return
        used = [(address, _nbytes(dtype, shape)) for dtype, shape, address in inputs.values()]
        bound = [each for each in outputs.values() if each is not None]
        written = [(address, _nbytes(dtype, shape)) for dtype, shape, address in bound]
        arena = (self.arena, _ARENA_BYTES)
        driver.put(
            self.stream,
            Work(
                "session",
                lambda: self._compute(binding, inputs, outputs),
                device=[*used, *written, arena],
                writes=[*written, arena],
            ),
        )
        if owner.host_calls:
            driver.put(self.stream, Work("release", lambda: None, kind="host"))

    def _compute(self, binding: _Binding, inputs: Any, outputs: Any) -> None:
        fed = {
            name: np.frombuffer(ctypes.string_at(address, _nbytes(dtype, shape)), dtype).reshape(
                shape
            )
            for name, (dtype, shape, address) in inputs.items()
        }
        names = list(outputs)
        made = dict(zip(names, self.session.run(names, fed), strict=True))
        if any(values.any() for values in fed.values()) and self.first is None:
            self.first = made
        if self.owner.stale and self.first is not None:
            made = self.first
        for name, values in made.items():
            found = np.ascontiguousarray(values)
            if found.dtype.kind == "f":
                found = found + np.asarray(self.owner.noise, found.dtype)
            bound = outputs[name]
            if bound is None:
                address = self._room(name, found.nbytes)
                binding.values[name] = _Value(found.shape, address)
            else:
                dtype, shape, address = bound
                assert (found.dtype, found.shape) == (dtype, shape), "bound otherwise"
            ctypes.memmove(address, found.ctypes.data, found.nbytes)

    def _room(self, name: str, nbytes: int) -> int:
        if name in self.dynamic:
            self.owner.driver.free(self.dynamic.pop(name))
        self.dynamic[name] = self.owner.driver.allocate(max(nbytes, 1))
        return self.dynamic[name]


def _nbytes(dtype: Any, shape: tuple[int, ...]) -> int:
    return max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)


def fake_toolkit(driver: FakeDriver | None = None) -> OrtToolkit:
    """Return a fake ONNX Runtime over a fake driver."""
    made = driver or FakeDriver()
    return OrtToolkit(FakeOrt(made), made)


def fake_backend(toolkit: OrtToolkit | None = None, **options: Any) -> OnnxRuntimeCudaBackend:
    """Return the backend over fakes; parts are made on a GPU of their own, as in a child."""
    used = toolkit or fake_toolkit()

    def built(request: dict[str, Any]) -> dict[str, Any]:
        driver = FakeDriver(graphs=used.driver.graphs)
        other = fake_toolkit(driver)
        for name in ("stale", "noise", "on_cpu", "copies", "uncapturable", "host_calls", "silent"):
            setattr(other.ort, name, getattr(used.ort, name))
        other.ort.more_bytes, used.ort.more_bytes = used.ort.more_bytes, []
        answer = build(json.loads(json.dumps(request)), other)
        used.ort.captures_tried += other.ort.captures_tried
        assert not any(driver.held.values()), driver.held
        return json.loads(json.dumps(answer))  # type: ignore[no-any-return]

    return OnnxRuntimeCudaBackend(used, build=built, **options)
