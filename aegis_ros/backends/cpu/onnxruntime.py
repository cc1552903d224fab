"""ONNX Runtime on the CPU: one thread a lane, no spinning, outputs into preallocated memory."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aegis_ros.backends.addresses import address_of
from aegis_ros.backends.base import (
    MOST_INPUTS,
    Arrays,
    Capabilities,
    CompiledNetwork,
    Completion,
    Ended,
    LoadedNetwork,
    Shapes,
    Work,
)
from aegis_ros.backends.cpu.generator import OrtGenerator, load_generator
from aegis_ros.backends.generators import CompiledGenerator, Speech
from aegis_ros.backends.outputs import copy_to_front
from aegis_ros.backends.trial import warm_up
from aegis_ros.backends.worker import PROCESSOR, OnCores
from aegis_ros.errors import BackendError, load_error
from aegis_ros.memory import KvShape
from aegis_ros.network.plain_text import plain
from aegis_ros.network.tensor import DTYPE_OF_ONNX
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import LaneSpec

if TYPE_CHECKING:
    from aegis_ros.network.preparing import PreparedNetwork

__all__ = [
    "OnnxRuntimeBackend",
    "OrtNetwork",
    "cpu_name",
    "load_session",
    "session_options",
]


class _Segment:
    """One session of a network with the binding that is used for every run.

    Attributes:
        session, binding: of ONNX Runtime.
        fed: (name, place) of the network's inputs that it reads, place being that among them.
        taken: tensors to bind before each run, because earlier segments make them anew.
        read_back: (name, place) of network outputs that it reads from the caller's arrays.
        direct: (name, place) of outputs it writes to the caller's arrays.
        made: (position, name, place) of outputs whose extents only a run shows; place is that
            among the network's outputs, -1 for tensors that are only handed on.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.binding = session.io_binding()
        self.fed: list[tuple[str, int]] = []
        self.taken: list[str] = []
        self.read_back: list[tuple[str, int]] = []
        self.direct: list[tuple[str, int]] = []
        self.made: list[tuple[int, str, int]] = []


class OrtNetwork:
    """One network on one lane.

    Segments hand tensors to each other by name. Those of known extents lie in memory that is taken
    and bound once, here; others are made anew by each run. Outputs of the network go straight to
    the caller's arrays unless their extents are known only after the run.
    """

    def __init__(self, sessions: Sequence[Any], compiled: CompiledNetwork) -> None:
        """Bind what can be bound before the first run."""
        self._inputs = {item.tensor.name: index for index, item in enumerate(compiled.inputs)}
        self._input_dtypes = [np.dtype(item.dtype) for item in compiled.inputs]
        self._outputs = {item.name: index for index, item in enumerate(compiled.outputs)}
        self._dtypes = [np.dtype(item.dtype) for item in compiled.outputs]
        self._dynamic = frozenset(compiled.dynamic_outputs)
        self._shapes = [tuple(int(extent) for extent in item.shape) for item in compiled.outputs]
        self._infos = compiled.outputs
        self._between: dict[str, Any] = {}
        self._segments = [self._bound(session) for session in sessions]

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    @property
    def note(self) -> str:
        """Nothing is chosen when it is loaded."""
        return ""

    def run(
        self,
        index: int,
        inputs: Arrays,
        outputs: Arrays,
    ) -> Shapes | None:
        """Run one segment; return the extents of the outputs if some are dynamic.

        Extents of outputs that are not complete yet are those of an earlier run.

        Raises:
            BackendError: an input is not what the network takes, or an output has no room.
        """
        segment = self._segments[index]
        binding = segment.binding
        for name, place in segment.fed:
            frame, dtype = inputs[place], self._input_dtypes[place]
            if frame.dtype != dtype or not frame.flags.c_contiguous:
                raise BackendError(
                    "the frame does not fit the network's input",
                    value=frame.dtype,
                    expected=f"contiguous {dtype}",
                )
            binding.bind_input(name, "cpu", 0, dtype, frame.shape, address_of(frame))
        for name in segment.taken:
            binding.bind_ortvalue_input(name, self._between[name])
        for name, place in segment.read_back:
            dtype, shape = self._dtypes[place], self._shapes[place]
            binding.bind_input(name, "cpu", 0, dtype, shape, address_of(outputs[place]))
        for name, place in segment.direct:
            dtype, shape = self._dtypes[place], self._shapes[place]
            binding.bind_output(name, "cpu", 0, dtype, shape, address_of(outputs[place]))
        for _, name, _ in segment.made:
            binding.bind_output(name, "cpu")
        try:
            segment.session.run_with_iobinding(binding)
        except Exception as error:  # its exceptions have no common type
            raise BackendError(plain(str(error)) or type(error).__name__) from error
        if segment.made:
            self._collect(segment, outputs)
        return tuple(self._shapes) if self._dynamic else None

    def close(self) -> None:
        """Drop the sessions."""
        self._segments.clear()
        self._between.clear()

    def _bound(self, session: Any) -> _Segment:
        """Return a session with all that stays the same bound to it."""
        import onnxruntime

        segment = _Segment(session)
        for item in session.get_inputs():
            place = self._outputs.get(item.name)
            if item.name in self._inputs:
                segment.fed.append((item.name, self._inputs[item.name]))
            elif place is not None and item.name not in self._dynamic:
                segment.read_back.append((item.name, place))
            elif item.name in self._between:
                segment.binding.bind_ortvalue_input(item.name, self._between[item.name])
            else:
                segment.taken.append(item.name)
        for position, item in enumerate(session.get_outputs()):
            place = self._outputs.get(item.name)
            # Every output is bound once here, so that positions are those of the session.
            segment.binding.bind_output(item.name, "cpu")
            if place is not None and item.name not in self._dynamic:
                segment.direct.append((item.name, place))
            elif place is None and _known_extents(item):
                value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    list(item.shape), np.dtype(DTYPE_OF_ONNX[item.type]), "cpu", 0
                )
                segment.binding.bind_ortvalue_output(item.name, value)
                self._between[item.name] = value
            else:
                segment.made.append((position, item.name, -1 if place is None else place))
        return segment

    def _collect(self, segment: _Segment, outputs: Arrays) -> None:
        values = segment.binding.get_outputs()
        for position, name, place in segment.made:
            self._between[name] = values[position]
            if place >= 0:
                self._shapes[place] = copy_to_front(
                    self._infos[place], values[position].numpy(), outputs[place]
                )


class OnnxRuntimeBackend(OnCores):
    """Runs networks through ONNX Runtime's CPU provider."""

    name = "onnxruntime"
    capabilities = Capabilities(
        inputs=MOST_INPUTS,
        streams_weights=True,
        on_cores=True,
        generators=True,
        contends=PROCESSOR,
        distributions=("onnxruntime",),
    )

    @staticmethod
    def warm() -> None:
        """Import the runtime."""
        import onnxruntime  # noqa: F401

    def compile(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int = 1
    ) -> CompiledNetwork:
        """Optimise the graph once, measure it and cut it, in child processes; keep the result.

        Raises:
            ModelError: ONNX Runtime cannot take the network, crashes on it or takes too long.
        """
        from aegis_ros.backends.cpu.build import built  # what an engine has no use for

        return built(self.name, prepared, cache_dir, segments)

    def compile_streamed(
        self, prepared: PreparedNetwork, cache_dir: Path, segments: int
    ) -> CompiledNetwork:
        """Cut the graph and pack each segment's weights into a file, in child processes.

        Raises:
            ModelError: ONNX Runtime cannot take the network, crashes on it or takes too long.
        """
        from aegis_ros.backends.cpu.stream_build import built_streamed

        return built_streamed(self.name, prepared, cache_dir, segments)

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Start one thread a lane."""
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        super().open(lanes, ended, priority)

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Create the session and run it, so that its memory is there before the first job.

        Raises:
            BackendError: ONNX Runtime refuses, or a file is not what was built.
        """
        with compiled.opened() as files:
            try:
                loaded = self._loaded(compiled, files)
                warm_up(compiled, loaded)
            except BackendError:
                raise
            except Exception as error:
                from aegis_ros.network.runtime_text import runtime_failure

                raise load_error(runtime_failure(error), BackendError) from error
        return loaded

    @staticmethod
    def _loaded(compiled: CompiledNetwork, files: Sequence[str]) -> OrtNetwork:
        if not compiled.weights:
            return load_session(compiled, files)
        from aegis_ros.backends.cpu.streamed import load_streamed  # few engines have use for it

        return load_streamed(compiled, files)

    def load_generator(
        self, compiled: CompiledGenerator, lane: int, shapes: Sequence[Shape], cache: KvShape
    ) -> LoadedNetwork:
        """Create the sessions of a language model and run all of its buckets.

        Raises:
            BackendError: ONNX Runtime refuses, or a file is not what was made.
        """
        with compiled.opened() as files:
            return load_generator(compiled, files, shapes, cache)

    @staticmethod
    def run(work: Work, completion: Completion) -> None:
        """Run one segment of a network, or one part of a language model."""
        (part,) = work.parts
        if isinstance(part.network, OrtGenerator):
            speech: Speech = part.state  # type: ignore[assignment]  # as whoever loaded it has it
            completion.outcome = part.network.run(work.step, speech)
        else:
            OnCores.run(work, completion)

    def unload(self, network: LoadedNetwork) -> None:
        """Drop the sessions."""
        assert isinstance(network, (OrtNetwork, OrtGenerator))
        network.close()

    def device_name(self) -> str:
        """Return processor and runtime version."""
        return f"{cpu_name()}, ONNX Runtime {_version()}"


def load_session(compiled: CompiledNetwork, files: Sequence[str]) -> OrtNetwork:
    """Return a network that has not run yet.

    Args:
        compiled: the network.
        files: names under which its files open, as :meth:`CompiledNetwork.opened` yields them.
    """
    import onnxruntime

    sessions = [
        onnxruntime.InferenceSession(path, session_options(), providers=["CPUExecutionProvider"])
        for path in files
    ]
    return OrtNetwork(sessions, compiled)


def session_options() -> Any:
    """Return the options every network runs with: one thread, no spinning, graph as saved."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return options


def cpu_name() -> str:
    """Return the processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.machine()
    return platform.machine()


def _version() -> str:
    """Return the version of ONNX Runtime, without importing it and what it takes to look it up."""
    if "onnxruntime" in sys.modules:
        return str(sys.modules["onnxruntime"].__version__)
    from aegis_ros.network.runtime import runtime_version

    return runtime_version()


def _known_extents(item: Any) -> bool:
    """Return whether a tensor's place can be taken before the run; no extents may mean unknown."""
    shape = item.shape
    return bool(shape) and all(isinstance(extent, int) and extent > 0 for extent in shape)
