"""ONNX Runtime on the CPU: one thread a lane, no spinning, outputs into preallocated memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork, Completion, LoadedNetwork
from aegis_ros.backends.worker import CpuLane
from aegis_ros.errors import BackendError
from aegis_ros.network.prepare import PreparedNetwork, run_child
from aegis_ros.spec import LaneSpec

__all__ = ["OnnxRuntimeBackend", "cpu_name"]


class _Session:
    """One network on one lane: its sessions, and the output arrays a run is bound to."""

    def __init__(self, sessions: list[Any], frame_name: str, output_names: list[str]) -> None:
        self.sessions = sessions
        self.segments = len(sessions)
        self._frame_name = frame_name
        self._output_names = output_names

    def run(
        self, frame: npt.NDArray[np.generic], outputs: Sequence[npt.NDArray[np.generic]]
    ) -> None:
        """Run the network; raise when an output does not fit its slot."""
        values = self.sessions[0].run(self._output_names, {self._frame_name: frame})
        for name, value, slot in zip(self._output_names, values, outputs, strict=True):
            if value.shape != slot.shape:
                raise BackendError(
                    f"output {name!r} has another shape than when the network was prepared",
                    value=value.shape, expected=str(slot.shape),
                    mend="Give the network outputs of fixed extents",
                )
            np.copyto(slot, value, casting="no")


class OnnxRuntimeBackend:
    """Runs networks through ONNX Runtime's CPU provider."""

    name = "onnxruntime"

    def __init__(self) -> None:
        """Hold no lane yet."""
        self._lanes: list[CpuLane] = []

    def compile(self, prepared: PreparedNetwork, cache_dir: Path) -> CompiledNetwork:
        """Optimise the graph once, in a child process, and keep the result.

        Raises:
            ModelError: ONNX Runtime cannot take the network.
        """
        import onnxruntime

        folder = cache_dir / "onnxruntime"
        folder.mkdir(parents=True, exist_ok=True)
        # The optimiser lays tensors out for this processor: another one optimises again.
        machine = "".join(part for part in cpu_name() if part.isalnum())[:40]
        target = folder / f"{prepared.key}-{onnxruntime.__version__}-{machine}.onnx"
        if not target.exists():
            made = target.with_suffix(f".{os.getpid()}.tmp")
            run_child(
                "aegis_ros.backends.optimise_child",
                {"source": str(prepared.path), "target": str(made)},
                timeout_s=120.0,
                subject=prepared.source.name,
            )
            os.replace(made, target)
        return CompiledNetwork(
            backend=self.name,
            key=prepared.key,
            paths=(str(target),),
            frame_input=prepared.frame_input,
            max_shape=prepared.max_shape,
            outputs=prepared.outputs,
            arena_bytes=max(prepared.weight_bytes, target.stat().st_size)
            + prepared.activation_bytes,
        )

    def open(self, lanes: Sequence[LaneSpec], event_fd: int, priority: int) -> None:
        """Start one thread a lane."""
        self._lanes = [CpuLane(lane.name, lane.cpu, event_fd, priority) for lane in lanes]

    def load(self, compiled: CompiledNetwork, lane: int) -> LoadedNetwork:
        """Create the session and run it once, so that its memory is there before the first job.

        Raises:
            BackendError: ONNX Runtime refuses.
        """
        import onnxruntime

        onnxruntime.set_default_logger_severity(4)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        try:
            sessions = [
                onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
                for path in compiled.paths
            ]
            names = [item.name for item in compiled.outputs]
            loaded = _Session(sessions, compiled.frame_input.name, names)
            frame = np.zeros(compiled.max_shape, compiled.frame_input.dtype)
            loaded.run(frame, [_empty(item.shape, item.dtype) for item in compiled.outputs])
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
        self._lanes[lane].start(lambda: network.run(frame, outputs))

    def completion(self, lane: int) -> Completion:
        """Return the lane's completion record."""
        return self._lanes[lane].completion

    def unload(self, network: LoadedNetwork) -> None:
        """Drop the sessions."""
        assert isinstance(network, _Session)
        network.sessions.clear()

    def device_name(self) -> str:
        """Return processor and runtime version."""
        import onnxruntime

        return f"{cpu_name()}, ONNX Runtime {onnxruntime.__version__}"

    def determinism(self) -> str:
        """Say what the lanes were permitted."""
        return describe_lanes(self._lanes)

    def close(self) -> None:
        """End the lanes' threads."""
        for lane in self._lanes:
            lane.stop()
        self._lanes = []


def describe_lanes(lanes: Sequence[CpuLane]) -> str:
    """Return a sentence on the affinity and priority of CPU lanes."""
    permitted = sorted({item for lane in lanes for item in lane.permitted})
    refused = sorted({item for lane in lanes for item in lane.refused})
    text = "lanes: " + (", ".join(permitted) if permitted else "as any thread")
    return text + (f"; refused: {', '.join(refused)}" if refused else "")


def cpu_name() -> str:
    """Return the processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.lower().startswith(("model name", "hardware")):
                return line.split(":", 1)[1].strip()
    except OSError:
        return platform.machine()
    return platform.machine()


def _empty(shape: tuple[int | str, ...], dtype: str) -> npt.NDArray[np.generic]:
    return np.empty(tuple(int(extent) for extent in shape), dtype)
