"""One network in ONNX Runtime on one lane: sessions on a stream of their own, captured by us."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.backends.base import Advice, CompiledNetwork
from aegis_ros.backends.cuda.buffers import Buffers
from aegis_ros.backends.cuda.driver import CudaError
from aegis_ros.backends.cuda.graphs import CaptureRefusedError, capture
from aegis_ros.backends.cuda.lanes import GpuLane
from aegis_ros.backends.cuda.network import GpuNetwork, Sent
from aegis_ros.backends.cuda.ort.toolkit import PROVIDER, OrtToolkit
from aegis_ros.errors import BackendError, load_error
from aegis_ros.network.plain_text import plain
from aegis_ros.network.tensor import DTYPE_OF_ONNX

__all__ = ["NOT_ADVISED", "OrtCudaNetwork"]

# The first run finds out what memory a network needs; kernels are chosen in it, too.
_WARM_UP_RUNS = 3
_DEVICE = "cuda"
_TOLD_BYTES = 2**20  # less is how the driver rounds
NOT_ADVISED = "capturing it was never tried"


class _Segment:
    """One session.

    Attributes:
        session, binding: of ONNX Runtime; ``None`` before and after.
        frame_input: whether it reads the frame.
        frame_shape: extents of the frame that is bound.
        results: (name, place, extents) of the network's outputs it writes to buffers.
        made: (position, name, place) of outputs whose extents only the run tells.
        graph: handle of the CUDA graph for the largest frame; ``None`` where there is none.
        eager: why there is no graph.
    """

    def __init__(self) -> None:
        self.session: Any = None
        self.binding: Any = None
        self.frame_input = False
        self.frame_shape: tuple[int, ...] = ()
        self.results: list[tuple[str, int, tuple[int, ...]]] = []
        self.made: list[tuple[int, str, int]] = []
        self.graph: int | None = None
        self.eager = ""

    def drop(self) -> None:
        """Give the session's memory back, whoever still holds this object."""
        self.binding = None
        self.session = None


class _EagerError(Exception):
    """A segment could not be captured, and its stream and session can no longer be trusted."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


class OrtCudaNetwork(GpuNetwork):
    """One network on one lane; everything it needs is allocated here.

    Its sessions have a stream of their own, as urgent as the lane's and on the same
    multiprocessors: loading then never waits for what the lane computes, and a capture that fails
    spoils this stream alone, which is thrown away. A lane runs one segment at a time and waits for
    it on the host, so nothing runs on two streams of a lane at once.

    Args:
        toolkit: ONNX Runtime and the driver.
        compiled: files and what is known of the network.
        lane: way to wait, copies, urgency and multiprocessors.
        profile: folder for ONNX Runtime's profiles, for :meth:`off_device`; nothing is captured
            then.

    Raises:
        BackendError: ONNX Runtime refuses; nothing is left behind.
        CudaError: as the driver says; nothing is left behind.
    """

    def __init__(
        self,
        toolkit: OrtToolkit,
        compiled: CompiledNetwork,
        lane: GpuLane,
        *,
        profile: Path | None = None,
    ) -> None:
        """Create the sessions, run them on an empty frame, capture them."""
        super().__init__(toolkit.driver, compiled, lane)
        self._ort = toolkit.ort
        self._profile = profile
        self._advice = compiled.advice or (Advice(NOT_ADVISED),) * compiled.segments
        self._segments: list[_Segment] = []
        self.session_bytes: list[int] = []
        self.failed_captures: dict[int, str] = {}  # those that were advised and did not work
        while True:
            try:
                with compiled.opened() as files:
                    self._open(files)
            except _EagerError as refused:
                self.failed_captures[refused.index] = refused.reason
            else:
                return

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    @property
    def graphs(self) -> tuple[bool, ...]:
        """Whether each segment is launched as a CUDA graph."""
        return tuple(segment.graph is not None for segment in self._segments)

    @property
    def eager(self) -> tuple[str, ...]:
        """Why each segment is not launched as a CUDA graph; empty where it is."""
        return tuple(segment.eager for segment in self._segments)

    @property
    def note(self) -> str:
        """What was chosen when it was loaded, and what it took beyond what admission counts."""
        more = self.device_bytes - self._compiled.footprint.total
        beyond = f"it took {more / 2**20:.0f} MiB of the GPU's memory more than is counted"
        return "; ".join(filter(None, (super().note, beyond if more > _TOLD_BYTES else "")))

    def close(self) -> None:
        """Give everything back."""
        self._driver.attach()
        self._driver.synchronize_stream(self._stream)
        super().close()

    def off_device(self) -> list[str]:
        """Return for each segment which operators ran elsewhere or copy to the host, or nothing.

        Ends the profile.
        """
        found = []
        for segment in self._segments:
            profile = Path(segment.session.end_profiling())
            found.append(_off_device(json.loads(profile.read_text())))
            profile.unlink()
        return found

    # -- one run ------------------------------------------------------------------------------

    def _replays(self, index: int, shape: tuple[int, ...]) -> bool:
        segment = self._segments[index]
        largest = shape == self._compiled.max_shape
        return segment.graph is not None and (largest or not segment.frame_input)

    def _put(self, index: int, shape: tuple[int, ...], stream: int) -> Sequence[Sent]:
        segment = self._segments[index]
        if segment.graph is not None and self._replays(index, shape):
            self._driver.launch(segment.graph, stream)
        else:
            self._enqueue(segment, shape)
        sent = [
            self._copy_back(name, place, extents, self._buffers[name].device)
            for name, place, extents in segment.results
        ]
        if segment.made:
            values = segment.binding.get_outputs()
            for position, name, place in segment.made:
                value = values[position]
                extents = tuple(int(extent) for extent in value.shape())
                sent.append(self._copy_back(name, place, extents, int(value.data_ptr())))
        return sent

    def _enqueue(self, segment: _Segment, shape: tuple[int, ...]) -> None:
        """Have the session put its operators on the stream; it does not wait for them."""
        try:
            if segment.frame_input and segment.frame_shape != shape:
                self._bind_frame(segment, shape)
            for _, name, _ in segment.made:
                segment.binding.bind_output(name, _DEVICE)
            segment.session.run_with_iobinding(segment.binding, self._run_options)
        except Exception as error:  # its exceptions have no common type
            if isinstance(error, (CudaError, BackendError)):
                raise
            problem = f"ONNX Runtime refuses to run the segment ({plain(str(error))})"
            # Its traceback would keep the session, beyond the stream that the session uses.
            raise BackendError(problem) from error.with_traceback(None)

    def _bind_frame(self, segment: _Segment, shape: tuple[int, ...]) -> None:
        name = self._compiled.frame_input.name
        address = self._buffers[name].device
        segment.frame_shape = ()
        segment.binding.bind_input(name, _DEVICE, 0, self._frame_dtype.type, list(shape), address)
        segment.frame_shape = shape

    def _graphs_note(self) -> str:
        if not self._driver.graphs:
            return ""
        eager: dict[str, int] = {}
        for reason in filter(None, self.eager):
            eager[reason] = eager.get(reason, 0) + 1
        profile = "; ".join(f"{count} not: {reason}" for reason, count in eager.items())
        count = f"segments launched as CUDA graphs: {sum(self.graphs)} of {self.segments}"
        return f"{count}; {profile}" if profile else count

    # -- loading ------------------------------------------------------------------------------

    def _open(self, paths: Sequence[str]) -> None:
        self._undo = ExitStack()
        with self._undo as undo:
            self._driver.attach()
            self._stream = self._driver.create_stream(self.lane.urgency, self.lane.partition)
            undo.callback(self._driver.destroy_stream, self._stream)
            self._buffers = Buffers(self._driver, undo)
            self._known.clear()
            undo.callback(self._drop_sessions)
            try:
                self._fill(paths)
            except BaseException:
                with suppress(CudaError):  # memory goes next, and nothing may still use it
                    self._driver.synchronize_stream(self._stream)
                raise
            self._undo = undo.pop_all()

    def _fill(self, paths: Sequence[str]) -> None:
        self._run_options = self._ort.RunOptions()
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self.dynamic, self.session_bytes = [], []
        frame = self._compiled.frame_input.name
        largest = self._compiled.max_shape
        count = int(np.prod(largest, dtype=np.int64))
        self._buffers.take(frame, count * self._frame_dtype.itemsize, with_host=True)
        self._input = self._frame_input()
        self._input.send(np.zeros(largest, self._frame_dtype), self._stream, prefetched=False)
        for index, path in enumerate(paths):
            free, _ = self._driver.memory()
            ours = self._buffers.device_bytes
            segment = _Segment()
            self._segments.append(segment)
            self._create(segment, index, path)
            self._bind(segment)
            self._warm_up(index, segment)
            taken = free - self._driver.memory()[0]
            self.session_bytes.append(max(0, taken - (self._buffers.device_bytes - ours)))
        readers = [at for at, segment in enumerate(self._segments) if segment.frame_input]
        self._last_reader = max(readers, default=0)
        self.device_bytes = self._buffers.device_bytes + sum(self.session_bytes)

    def _drop_sessions(self) -> None:
        for segment in self._segments:
            segment.drop()
        self._segments.clear()

    def _create(self, segment: _Segment, index: int, path: str) -> None:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.graph_optimization_level = self._ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        if self._profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(self._profile / f"part{index}")
        try:
            segment.session = self._ort.InferenceSession(
                path,
                options,
                providers=[(PROVIDER, self._provider_options(index)), "CPUExecutionProvider"],
                enable_fallback=0,  # to the CPU, with a message on stdout
            )
        except CudaError:
            raise
        except Exception as error:  # its exceptions have no common type
            from aegis_ros.network.runtime_text import runtime_failure

            raise load_error(runtime_failure(error), BackendError) from error
        if PROVIDER not in segment.session.get_providers():
            raise BackendError(
                "ONNX Runtime cannot load the network: its CUDA provider does not start here",
                hint="Install CUDA's libraries: `pip install 'aegis_ros[cuda]'`",
            )

    def _provider_options(self, index: int) -> dict[str, str]:
        options = {
            "device_id": "0",
            "user_compute_stream": str(self._stream),
            "use_tf32": "1" if self._advice[index].tf32 else "0",
            "arena_extend_strategy": "kSameAsRequested",
            "cudnn_conv_algo_search": "EXHAUSTIVE",
        }
        limit = self._advice[index].arena_bytes
        return options | ({"gpu_mem_limit": str(limit)} if limit else {})

    def _bind(self, segment: _Segment) -> None:
        """Bind all that stays the same to a session."""
        segment.binding = segment.session.io_binding()
        frame = self._compiled.frame_input
        for item in segment.session.get_inputs():
            dtype = np.dtype(DTYPE_OF_ONNX[item.type])
            if item.name == frame.name:
                segment.frame_input = True
                self._require_dtype(item.name, dtype, self._frame_dtype)
                self._bind_frame(segment, self._compiled.max_shape)
                continue
            if item.name not in self._buffers:
                raise BackendError(
                    f"ONNX Runtime cannot load the network: nothing writes {item.name!r}"
                )
            address = self._buffers[item.name].device
            segment.binding.bind_input(item.name, _DEVICE, 0, dtype.type, item.shape, address)
        for position, item in enumerate(segment.session.get_outputs()):
            self._bind_output(segment, position, item)

    def _bind_output(self, segment: _Segment, position: int, item: Any) -> None:
        place = self._places.get(item.name)
        dtype = np.dtype(DTYPE_OF_ONNX[item.type])
        if place is not None:
            self._require_dtype(item.name, dtype, np.dtype(self._compiled.outputs[place].dtype))
        if _known_extents(item.shape):
            extents = tuple(int(extent) for extent in item.shape)
            count = int(np.prod(extents, dtype=np.int64))
            self._buffers.take(item.name, count * dtype.itemsize, with_host=place is not None)
            address = self._buffers[item.name].device
            segment.binding.bind_output(item.name, _DEVICE, 0, dtype.type, list(extents), address)
            if place is not None:
                segment.results.append((item.name, place, extents))
            return
        if place is None:
            raise BackendError(
                f"ONNX Runtime cannot load the network: extents of {item.name!r}, which a segment "
                "hands to the next one, are known only after a run"
            )
        # Every output is bound once here, so that positions are those of the session.
        segment.binding.bind_output(item.name, _DEVICE)
        segment.made.append((position, item.name, place))
        self.dynamic.append(item.name)
        nbytes = self._compiled.outputs[place].nbytes * 2 + 16384 * dtype.itemsize
        self._buffers.take(item.name, nbytes, with_host=True)

    def _require_dtype(self, name: str, found: np.dtype[Any], wanted: np.dtype[Any]) -> None:
        if found != wanted:
            raise BackendError(
                f"ONNX Runtime cannot load the network: it makes {name!r} {found}, not {wanted}",
                hint=f"Export the network with {found} there",
            )

    def _warm_up(self, index: int, segment: _Segment) -> None:
        """Run a segment, so that nothing is left to do for the first job; capture it.

        Raises:
            _EagerError: it was to be captured and cannot be.
        """
        for _ in range(_WARM_UP_RUNS):
            self._enqueue(segment, self._compiled.max_shape)
            self._driver.synchronize_stream(self._stream)
        segment.eager = self._why_eager(index, segment)
        if segment.eager:
            return

        def enqueue() -> None:
            segment.session.run_with_iobinding(segment.binding, self._run_options)

        try:
            segment.graph = capture(self._driver, self._stream, enqueue)
        except CaptureRefusedError as error:
            raise _EagerError(index, str(error)) from error
        self._undo.callback(self._driver.destroy_graph, segment.graph)
        self._driver.launch(segment.graph, self._stream)
        self._driver.synchronize_stream(self._stream)

    def _why_eager(self, index: int, segment: _Segment) -> str:
        if not self._driver.graphs:
            return f"{self._driver.name} has no graphs"
        if self._profile is not None:
            return "it is profiled"
        if segment.made:
            return f"extents of {segment.made[0][1]!r} are known only after a run"
        return self._advice[index].eager or self.failed_captures.get(index, "")


def _known_extents(shape: Sequence[Any]) -> bool:
    """Return whether a tensor's place can be taken before the run; no extents may mean unknown."""
    return bool(shape) and all(isinstance(extent, int) and extent > 0 for extent in shape)


def _off_device(events: Sequence[Mapping[str, Any]]) -> str:
    """Return which operators of a profile did not run on the device, or moved data off it."""
    found: dict[str, None] = {}
    for event in events:
        facts = event.get("args", {})
        operator, provider = facts.get("op_name", ""), facts.get("provider", "")
        if not operator or not provider:
            continue
        if operator.startswith("Memcpy"):
            found[operator] = None
        elif provider != PROVIDER:
            found[f"{operator} on the CPU"] = None
    return ", ".join(found)
