"""One network in TensorRT on one lane: contexts, memory, graphs, and the run of a segment."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.backends.cuda.arena import Block
from aegis_ros.backends.cuda.buffers import Buffer
from aegis_ros.backends.cuda.graphs import CaptureRefusedError, capture
from aegis_ros.backends.cuda.lanes import GpuLane
from aegis_ros.backends.cuda.network import GpuNetwork, Sent
from aegis_ros.backends.cuda.trt.toolkit import Toolkit, collecting_logger
from aegis_ros.errors import BackendError, load_error

__all__ = ["TensorRtNetwork", "faster"]

_WARM_UP_RUNS = 3
_TIMED_RUNS = 5


def faster(raw_ns: float, graph_ns: float) -> bool:
    """Return whether a graph is worth it."""
    return graph_ns < raw_ns


class _Segment:
    """One execution context.

    Attributes:
        context: of TensorRT.
        frame_input: whether it reads the frame.
        results: (name, place) of the network's outputs it writes.
        measured: outputs whose extents only the run tells, by name.
        graph: handle of the CUDA graph for the largest frame; ``None`` where there is none.
        gain: time as a graph over time without one, as measured when it was loaded; ``None`` where
            it cannot be captured.
        smaller: context for other frames beside a graph, whose own context must stay as it was
            captured; ``None`` where all frames go through ``context``.
        shapes: frame each context is set to.
    """

    def __init__(self, engine: Any, context: Any) -> None:
        self.engine = engine  # must outlive the contexts
        self.context = context
        self.smaller: Any = None
        self.frame_input = False
        self.results: list[tuple[str, int]] = []
        self.measured: dict[str, Any] = {}
        self.graph: int | None = None
        self.gain: float | None = None
        self.shapes: dict[int, tuple[int, ...]] = {}


class TensorRtNetwork(GpuNetwork):
    """One network on one lane; everything it needs is allocated here.

    Activations lie in the lane's arena. Between two segments another network may use it: what
    segments hand to each other has memory of its own.

    Args:
        toolkit: TensorRT and the driver.
        compiled: engines and what is known of the network.
        lane: streams, event and arena.
        graph_pays: as for :class:`TensorRtBackend`.

    Raises:
        BackendError: TensorRT refuses; nothing is left behind.
        CudaError: as the driver says; nothing is left behind.
    """

    def __init__(
        self,
        toolkit: Toolkit,
        compiled: CompiledNetwork,
        lane: GpuLane,
        *,
        graph_pays: Callable[[float, float], bool] = faster,
    ) -> None:
        """Load the engines, run them on an empty frame, capture them."""
        super().__init__(toolkit.driver, compiled, lane)
        self._trt = toolkit.trt
        self._segments: list[_Segment] = []
        self._log, self._errors = collecting_logger(self._trt)
        with self._undo as undo:
            self._driver.attach()
            undo.callback(self._segments.clear)
            with compiled.opened() as files:
                for path in files:
                    self._segments.append(self._deserialised(Path(path)))
            for segment in self._segments:
                self._place_tensors(segment)
            self._input = self._frame_input()
            readers = [at for at, segment in enumerate(self._segments) if segment.frame_input]
            self._last_reader = max(readers, default=0)
            self.activation_bytes = max(
                int(segment.engine.device_memory_size_v2) for segment in self._segments
            )
            self.device_bytes += self.activation_bytes + self._buffers.device_bytes
            block = lane.arena.take(self.activation_bytes, compiled.block_bytes)
            undo.callback(lane.arena.give_back, block)
            self._prepare(block, graph_pays)
            self._undo = undo.pop_all()

    @property
    def segments(self) -> int:
        """Number of segments."""
        return len(self._segments)

    @property
    def graphs(self) -> tuple[bool, ...]:
        """Whether each segment is launched as a CUDA graph."""
        return tuple(segment.graph is not None for segment in self._segments)

    def _graphs_note(self) -> str:
        """Which segments are launched as CUDA graphs, and what that gains."""
        if not self._driver.graphs:
            return ""
        notes = []
        for kind, launched in (("yes", True), ("no", False)):
            gains = [
                segment.gain
                for segment in self._segments
                if segment.gain is not None and (segment.graph is not None) == launched
            ]
            if gains:
                took = f"{min(gains):.0%} to {max(gains):.0%} of the time without a graph"
                notes.append(f"{len(gains)} {kind}; {took}")
        hopeless = sum(segment.gain is None for segment in self._segments)
        if hopeless:
            notes.append(f"{hopeless} cannot be captured")
        return f"segments launched as CUDA graphs: {', '.join(notes)}"

    # -- one run ------------------------------------------------------------------------------

    def _enqueue(self, segment: _Segment, shape: tuple[int, ...], stream: int) -> Any:
        """Put a segment on the stream; return the context that knows its outputs' extents."""
        if segment.graph is not None and shape == self._compiled.max_shape:
            self._driver.launch(segment.graph, stream)
            return segment.context
        context = segment.smaller or segment.context
        self._set_shape(segment, context, shape)
        self._errors.clear()
        if not context.execute_async_v3(stream):
            raise BackendError(f"TensorRT refuses to run the segment ({self._reason()})")
        return context

    def _replays(self, index: int, shape: tuple[int, ...]) -> bool:
        return self._segments[index].graph is not None and shape == self._compiled.max_shape

    def _set_shape(self, segment: _Segment, context: Any, shape: tuple[int, ...]) -> None:
        if not segment.frame_input or segment.shapes.get(id(context)) == shape:
            return
        if not context.set_input_shape(self._compiled.frame_input.name, shape):
            raise BackendError(f"TensorRT refuses a frame of {list(shape)} ({self._reason()})")
        segment.shapes[id(context)] = shape

    def _put(self, index: int, shape: tuple[int, ...], stream: int) -> list[Sent]:
        segment = self._segments[index]
        context = self._enqueue(segment, shape, stream)
        sent = []
        for name, place in segment.results:
            if name in segment.measured:
                extents = segment.measured[name].shape
            else:
                extents = tuple(context.get_tensor_shape(name))
            sent.append(self._copy_back(name, place, extents, self._buffers[name].device))
        return sent

    # -- loading ------------------------------------------------------------------------------

    def _deserialised(self, path: Path) -> _Segment:
        # One runtime an engine: nothing of it is used afterwards, but it must live as long.
        runtime = self._trt.Runtime(self._log)
        self._errors.clear()
        try:
            plan = path.read_bytes()
        except OSError as error:
            from aegis_ros.sandbox.storage import storage_failure

            failure = storage_failure(error.errno or 0, str(path), error.strerror or str(error))
            raise load_error(failure, BackendError) from error
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise BackendError(
                f"TensorRT cannot load the network ({self._reason()})",
                hint="Register the task again: an engine that is damaged is built anew",
            )
        self.device_bytes += len(plan)  # its weights
        return _Segment(engine, self._new_context(engine))

    def _new_context(self, engine: Any) -> Any:
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = engine.create_execution_context(strategy)
        if context is None:
            raise BackendError(f"TensorRT cannot load the network ({self._reason()})")
        return context

    def _place_tensors(self, segment: _Segment) -> None:
        """Give every tensor of a segment memory, and tell the context where."""
        engine, context = segment.engine, segment.context
        frame = self._compiled.frame_input.name
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = {n for n in names if engine.get_tensor_mode(n) == self._trt.TensorIOMode.INPUT}
        if frame in inputs:
            segment.frame_input = True
            self._require_dtype(engine, frame, self._frame_dtype)
            self._set_shape(segment, context, self._compiled.max_shape)
            if frame not in self._buffers:
                count = int(np.prod(self._compiled.max_shape, dtype=np.int64))
                self._buffers.take(frame, count * self._frame_dtype.itemsize, with_host=True)
        for name in names:
            if engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
                raise BackendError(
                    f"TensorRT cannot load the network: it wants {name!r} in the host's memory",
                    hint="Export the network without extents among its inputs and outputs",
                )
            if name in inputs:
                if name not in self._buffers:
                    raise BackendError(f"TensorRT cannot load the network: nothing writes {name!r}")
            else:
                self._place_output(segment, name)
            self._set_address(context, name)

    def _set_address(self, context: Any, name: str) -> None:
        if not context.set_tensor_address(name, self._buffers[name].device):
            raise BackendError(f"TensorRT refuses an address ({self._reason()})")

    def _place_output(self, segment: _Segment, name: str) -> None:
        context = segment.context
        place = self._places.get(name)
        dtype = np.dtype(self._trt.nptype(segment.engine.get_tensor_dtype(name)))
        shape = tuple(context.get_tensor_shape(name))
        if -1 in shape:
            nbytes = int(context.get_max_output_size(name))
        else:
            nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._buffers.take(name, max(nbytes, 1), with_host=place is not None)
        if place is not None:
            self._require_dtype(segment.engine, name, np.dtype(self._compiled.outputs[place].dtype))
            segment.results.append((name, place))
            if -1 in tuple(segment.engine.get_tensor_shape(name)):
                self.dynamic.append(name)
        if -1 in shape:
            allocator = _allocator_in(self._trt, self._buffers[name])
            segment.measured[name] = allocator
            if not context.set_output_allocator(name, allocator):
                raise BackendError(f"TensorRT refuses an allocator ({self._reason()})")

    def _require_dtype(self, engine: Any, name: str, wanted: np.dtype[Any]) -> None:
        found = np.dtype(self._trt.nptype(engine.get_tensor_dtype(name)))
        if found != wanted:
            raise BackendError(
                f"TensorRT cannot load the network: it makes {name!r} {found}, not {wanted}",
                hint=f"Export the network with {found} there",
            )

    def _prepare(self, block: Block, graph_pays: Callable[[float, float], bool]) -> None:
        """Run every segment, so that nothing is left to do for the first job; choose graphs.

        Other networks of the lane may run meanwhile, in the very block of activations that this
        one is to use. So it runs here in memory of its own, on a stream of its own.
        """
        stream = self._driver.create_stream(0, self.lane.partition)
        try:
            with ExitStack() as after:
                address = block.address
                if block.users > 1:
                    address = self._driver.allocate(block.nbytes)
                    after.callback(self._driver.free, address)
                after.callback(self._driver.synchronize_stream, stream)
                self._use_memory(address, block.nbytes)
                pays = self._warm_up(stream, graph_pays)
            self._use_memory(block.address, block.nbytes)
            for segment, worth in zip(self._segments, pays, strict=True):
                if worth:
                    segment.graph = self._captured(segment, stream)
                    if segment.graph is not None:
                        self._undo.callback(self._driver.destroy_graph, segment.graph)
                        self._add_context(segment, block)
            self._driver.synchronize_stream(stream)
        finally:
            self._driver.destroy_stream(stream)

    def _add_context(self, segment: _Segment, block: Block) -> None:
        """Add a context for frames smaller than those of the graph, where there may be any."""
        if not segment.frame_input or self._compiled.frame_input.static:
            return
        context = self._new_context(segment.engine)
        self._set_shape(segment, context, self._compiled.max_shape)
        for index in range(segment.engine.num_io_tensors):
            self._set_address(context, segment.engine.get_tensor_name(index))
        context.set_device_memory(block.address, block.nbytes)
        segment.smaller = context

    def _use_memory(self, address: int, nbytes: int) -> None:
        for segment in self._segments:
            segment.context.set_device_memory(address, nbytes)

    def _warm_up(self, stream: int, graph_pays: Callable[[float, float], bool]) -> list[bool]:
        """Return for each segment whether a graph is worth it."""
        frame = np.zeros(self._compiled.max_shape, self._frame_dtype)
        self._input.send(frame, stream, prefetched=False)
        pays = []
        for segment in self._segments:

            def raw(of: _Segment = segment) -> None:
                self._enqueue(of, self._compiled.max_shape, stream)
                self._driver.synchronize_stream(stream)

            for _ in range(_WARM_UP_RUNS):
                raw()
            graph = self._captured(segment, stream)
            if graph is None:
                pays.append(False)
                continue

            def launched(handle: int = graph) -> None:
                self._driver.launch(handle, stream)
                self._driver.synchronize_stream(stream)

            with ExitStack() as after:
                after.callback(self._driver.destroy_graph, graph)
                after.callback(self._driver.synchronize_stream, stream)
                launched()
                raw_ns, graph_ns = _median_ns(raw), _median_ns(launched)
                segment.gain = graph_ns / max(raw_ns, 1.0)
                pays.append(graph_pays(raw_ns, graph_ns))
        return pays

    def _captured(self, segment: _Segment, stream: int) -> int | None:
        """Return a segment as a graph, or ``None`` where that is not possible."""
        if not self._driver.graphs or segment.measured:
            return None
        self._set_shape(segment, segment.context, self._compiled.max_shape)

        def enqueue() -> None:
            if not segment.context.execute_async_v3(stream):
                raise CaptureRefusedError(self._reason())

        try:
            return capture(self._driver, stream, enqueue)
        except CaptureRefusedError:
            return None

    def _reason(self) -> str:
        return self._errors[0][:300] if self._errors else "it does not say why"


def _allocator_in(trt: Any, buffer: Buffer) -> Any:
    """Return an allocator of memory taken at load; it keeps the extents that are reported."""

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.shape: tuple[int, ...] = ()

        def reallocate_output(self, name: str, memory: int, size: int, alignment: int) -> int:
            return buffer.device if size <= buffer.nbytes else 0

        def reallocate_output_async(  # noqa: PLR0917 (called so by TensorRT)
            self, name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int:
            return buffer.device if size <= buffer.nbytes else 0

        def notify_shape(self, name: str, shape: Any) -> None:
            self.shape = tuple(int(extent) for extent in shape)

    return Allocator()


def _median_ns(work: Callable[[], None]) -> float:
    taken = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - start)
    return float(median(taken))
