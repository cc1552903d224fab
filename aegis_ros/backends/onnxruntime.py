"""ONNX Runtime on the CPU: one thread a lane, no spinning, outputs into preallocated memory."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork, Completion, LoadedNetwork
from aegis_ros.backends.worker import CpuLane, Shapes, describe_lanes, open_lanes
from aegis_ros.errors import BackendError
from aegis_ros.network.prepare import PreparedNetwork, run_child
from aegis_ros.spec import LaneSpec

__all__ = ["WARM_UP_RUNS", "OnnxRuntimeBackend", "cpu_name", "session_options"]

# The first run finds out what memory a network needs, the second takes it as one block.
WARM_UP_RUNS = 3


class _Segment:
    """One session of a network with the binding that is used for every run."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.binding = session.io_binding()
        self.inputs = [item.name for item in session.get_inputs()]
        self.outputs = [item.name for item in session.get_outputs()]


class _Session:
    """One network on one lane.

    Segments hand tensors to each other by name, inside ONNX Runtime's own memory; outputs of the
    network go straight to the caller's arrays unless their extents are known only after the run.
    """

    def __init__(self, sessions: Sequence[Any], compiled: CompiledNetwork) -> None:
        self._segments = [_Segment(session) for session in sessions]
        self._frame_name = compiled.frame_input.name
        self._frame_dtype = np.dtype(compiled.frame_input.dtype)
        self._outputs = {item.name: index for index, item in enumerate(compiled.outputs)}
        self._dtypes = [np.dtype(item.dtype) for item in compiled.outputs]
        self._dynamic = frozenset(compiled.dynamic_outputs)
        self._shapes = [tuple(int(extent) for extent in item.shape) for item in compiled.outputs]
        self._between: dict[str, Any] = {}

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    def run(
        self,
        index: int,
        frame: npt.NDArray[np.generic],
        outputs: Sequence[npt.NDArray[np.generic]],
    ) -> Shapes | None:
        """Run one segment; return the extents of the outputs if some are dynamic.

        Raises:
            BackendError: the frame is not what the network takes, or an output has no room.
        """
        segment = self._segments[index]
        binding = segment.binding
        for name in segment.inputs:
            if name != self._frame_name:
                binding.bind_ortvalue_input(name, self._between[name])
                continue
            if frame.dtype != self._frame_dtype or not frame.flags.c_contiguous:
                raise BackendError(
                    "the frame does not fit the network's input",
                    value=frame.dtype,
                    expected=f"contiguous {self._frame_dtype}",
                )
            binding.bind_input(name, "cpu", 0, self._frame_dtype, frame.shape, frame.ctypes.data)
        for name in segment.outputs:
            place = self._outputs.get(name)
            if place is None or name in self._dynamic:
                binding.bind_output(name, "cpu")
            else:
                binding.bind_output(
                    name,
                    "cpu",
                    0,
                    self._dtypes[place],
                    self._shapes[place],
                    outputs[place].ctypes.data,
                )
        segment.session.run_with_iobinding(binding)
        return self._collect(segment, outputs)

    def close(self) -> None:
        """Drop the sessions."""
        self._segments.clear()
        self._between.clear()

    def _collect(
        self, segment: _Segment, outputs: Sequence[npt.NDArray[np.generic]]
    ) -> Shapes | None:
        last = segment is self._segments[-1]
        if last and not self._dynamic:
            self._between.clear()
            return None
        for name, value in zip(segment.outputs, segment.binding.get_outputs(), strict=True):
            place = self._outputs.get(name)
            if place is None:
                self._between[name] = value
            elif name in self._dynamic:
                self._shapes[place] = _copy_to_front(name, value.numpy(), outputs[place])
        if not last:
            return None
        self._between.clear()
        return tuple(self._shapes)


class OnnxRuntimeBackend:
    """Runs networks through ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self) -> None:
        """Hold no lane yet."""
        self._lanes: list[CpuLane] = []

    def compile(self, prepared: PreparedNetwork, cache_dir: Path) -> CompiledNetwork:
        """Optimise the graph once and measure its memory, in child processes; keep the result.

        Raises:
            ModelError: ONNX Runtime cannot take the network, crashes on it or takes too long.
        """
        folder = cache_dir / "onnxruntime"
        folder.mkdir(parents=True, exist_ok=True)
        # The optimiser lays tensors out for this processor: another one optimises again.
        machine = "".join(part for part in cpu_name() if part.isalnum())[:40]
        target = folder / f"{prepared.key}-{version('onnxruntime')}-{machine}.onnx"
        facts_path = target.with_suffix(".json")
        facts = _read_json(facts_path) if target.exists() else None
        if facts is None:
            facts = _optimise(prepared, target, facts_path)
        return CompiledNetwork(
            backend=self.name,
            key=prepared.key,
            paths=(str(target),),
            frame_input=prepared.frame_input,
            max_shape=prepared.max_shape,
            outputs=prepared.outputs,
            arena_bytes=max(int(facts["bytes"]), prepared.weight_bytes + prepared.activation_bytes),
            dynamic_outputs=tuple(facts["dynamic"]),
        )

    def open(self, lanes: Sequence[LaneSpec], event_fd: int, priority: int) -> None:
        """Start one thread a lane."""
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        self._lanes = open_lanes(lanes, event_fd, priority)

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Create the session and run it, so that its memory is there before the first job.

        Raises:
            BackendError: ONNX Runtime refuses.
        """
        import onnxruntime

        try:
            sessions = [
                onnxruntime.InferenceSession(
                    path, session_options(), providers=["CPUExecutionProvider"]
                )
                for path in compiled.paths
            ]
            loaded = _Session(sessions, compiled)
            frame = np.zeros(compiled.max_shape, compiled.frame_input.dtype)
            outputs = [_scratch(item.nbytes, item.dtype) for item in compiled.outputs]
            for index in list(range(loaded.segments)) * WARM_UP_RUNS:
                loaded.run(index, frame, outputs)
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime cannot load the network ({str(error)[:200]})",
                mend="Remove the cache folder and register the task again",
            ) from error
        return loaded

    def start(
        self,
        lane: int,
        network: LoadedNetwork,
        segment: int,
        frame: npt.NDArray[np.generic],
        outputs: Sequence[npt.NDArray[np.generic]],
    ) -> None:
        """Hand the segment to the lane's thread."""
        assert isinstance(network, _Session)
        self._lanes[lane].start(lambda: network.run(segment, frame, outputs))

    def completion(self, lane: int) -> Completion:
        """Return the lane's completion record."""
        return self._lanes[lane].completion

    def unload(self, network: LoadedNetwork) -> None:
        """Drop the sessions."""
        assert isinstance(network, _Session)
        network.close()

    def device_name(self) -> str:
        """Return processor and runtime version."""
        return f"{cpu_name()}, ONNX Runtime {version('onnxruntime')}"

    def determinism(self) -> str:
        """Say what the lanes were permitted."""
        return describe_lanes(self._lanes)

    def close(self) -> None:
        """End the lanes' threads."""
        for lane in self._lanes:
            lane.stop()
        self._lanes = []


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


def _optimise(prepared: PreparedNetwork, target: Path, facts_path: Path) -> dict[str, Any]:
    """Make ``target`` and its facts; nothing is left behind when that fails."""
    made = target.with_suffix(f".{os.getpid()}.tmp")
    noted = facts_path.with_suffix(f".{os.getpid()}.jtmp")
    child = "aegis_ros.backends.optimise_child"
    subject = prepared.source.name
    try:
        run_child(
            child,
            {"source": str(prepared.path), "target": str(made)},
            timeout_s=120.0,
            subject=subject,
        )
        facts = run_child(
            child,
            {
                "target": str(made),
                "dtype": prepared.frame_input.dtype,
                "shape": list(prepared.max_shape),
            },
            timeout_s=120.0,
            subject=subject,
        )
        noted.write_text(json.dumps(facts))
        os.replace(made, target)
        os.replace(noted, facts_path)
    finally:
        made.unlink(missing_ok=True)
        noted.unlink(missing_ok=True)
    return facts


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return facts


def _scratch(nbytes: int, dtype: str) -> npt.NDArray[np.generic]:
    return np.empty(max(1, nbytes // np.dtype(dtype).itemsize) * 2 + 16384, dtype)


def _copy_to_front(
    name: str, value: npt.NDArray[np.generic], room: npt.NDArray[np.generic]
) -> tuple[int, ...]:
    if value.size > room.size:
        raise BackendError(
            f"output {name!r} is larger than its slot",
            value=value.shape,
            expected=f"at most {room.size} elements",
            mend="Give the network outputs of bounded extents",
        )
    room.reshape(-1)[: value.size] = value.reshape(-1)
    return tuple(value.shape)
