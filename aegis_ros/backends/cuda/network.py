"""One network on one lane: frames to the device, a segment on the stream, results back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork, Shapes
from aegis_ros.backends.cuda.buffers import Buffers
from aegis_ros.backends.cuda.driver import CudaDriver
from aegis_ros.backends.cuda.frames import FrameInput
from aegis_ros.backends.cuda.lanes import GpuLane
from aegis_ros.backends.cuda.waiting import Past
from aegis_ros.errors import BackendError

__all__ = ["GpuNetwork", "Outputs", "Sent"]

Outputs = Sequence[npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Sent:
    """An output on its way to the host.

    Attributes:
        name: of the output.
        place: among the network's.
        shape: extents as the segment makes it.
        copies: of what is kept: address to copy to, offset on the device, bytes.
        values: what is copied, as what it is.
    """

    name: str
    place: int
    shape: tuple[int, ...]
    copies: tuple[tuple[int, int, int], ...]
    values: npt.NDArray[np.generic]


class GpuNetwork(ABC):
    """What all runtimes on the GPU share; a subclass says how a segment gets onto a stream.

    A subclass's constructor enters ``self._undo`` and leaves nothing behind where it raises.

    Args:
        driver: the GPU.
        compiled: files and what is known of the network.
        lane: streams, way to wait and arena.
    """

    def __init__(self, driver: CudaDriver, compiled: CompiledNetwork, lane: GpuLane) -> None:
        """Hold nothing yet."""
        self.lane = lane
        self._driver = driver
        self._compiled = compiled
        self._stream = lane.stream  # where its segments run
        self._frame_dtype = np.dtype(compiled.frame_input.dtype)
        self._places = {item.name: index for index, item in enumerate(compiled.outputs)}
        self._shapes = [tuple(item.shape) for item in compiled.outputs]
        self._fitting: tuple[int, ...] | None = None  # extents of the last frame that fitted
        self._begun: Sequence[Sent] | BaseException | None = None  # what `begin` came to
        self._known: dict[int, Sent] = {}  # outputs as they were sent last, by place
        self._pasts = [Past() for _ in range(compiled.segments)]
        self._undo = ExitStack()
        self._buffers = Buffers(driver, self._undo)
        self._input: FrameInput
        self._last_reader = 0  # index of the last segment that reads the frame
        self.dynamic: list[str] = []  # outputs whose extents differ from run to run
        self.activation_bytes = 0  # those of `device_bytes` that lie in the lane's arena
        self.device_bytes = 0  # taken on the device, the lane's arena counted as its own

    @property
    def staging_bytes(self) -> int:
        """Those of ``device_bytes`` that inputs and outputs lie in."""
        return self._buffers.device_bytes

    @property
    @abstractmethod
    def segments(self) -> int:
        """Number of segments."""

    @property
    @abstractmethod
    def graphs(self) -> tuple[bool, ...]:
        """Whether each segment is launched as a CUDA graph."""

    @property
    def note(self) -> str:
        """What was chosen when it was loaded, and its part of a GPU that is divided; else empty."""
        copied = ""
        if self.lane.frames.refusal:
            copied = f"frames are copied by the CPU first ({self.lane.frames.refusal})"
        part = f"its lane has {self.lane.sms} multiprocessors" if self.lane.partition else ""
        return "; ".join(filter(None, (self._graphs_note(), part, copied)))

    def output_arrays(self) -> list[npt.NDArray[np.generic]]:
        """Return a flat array for each output, as large as it can be."""
        return [
            np.zeros(self._buffers[item.name].nbytes // np.dtype(item.dtype).itemsize, item.dtype)
            for item in self._compiled.outputs
        ]

    def computed(self, frame: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
        """Run all segments and return the outputs; allocates, for the child that builds.

        Raises:
            BackendError: as :meth:`run`.
        """
        outputs = self.output_arrays()
        for segment in range(self.segments):
            self.run(segment, frame, outputs)
        return [
            values[: math.prod(shape)].reshape(shape)
            for values, shape in zip(outputs, self.output_shapes, strict=True)
        ]

    @property
    def output_shapes(self) -> Shapes:
        """Extents of the outputs after the last run."""
        return tuple(tuple(int(extent) for extent in shape) for shape in self._shapes)

    def close(self) -> None:
        """Give everything back."""
        self._driver.attach()
        self._driver.synchronize_stream(self.lane.copies)
        self._undo.close()

    def claim(self) -> None:
        """Say that a job begins; before its first segment is handed to the lane's thread."""
        self._input.claim()

    def prefetch(self, frame: npt.NDArray[np.generic]) -> bool:
        """Begin the copy of a frame whose job waits; return whether it was begun.

        Raises:
            CudaError: as the driver says; no copy is under way then.
        """
        return self._fits(frame) and self._input.prefetch(frame)

    def begin(self, index: int, frame: npt.NDArray[np.generic], *, prefetched: bool) -> bool:
        """Put a segment on the stream, if that takes no longer than some launches.

        Not where the CPU would have to copy the frame, a runtime to submit its operators one by
        one, or anything to be found wrong. What the driver refuses is raised by :meth:`run`, which
        has to follow.

        Args:
            index: which segment.
            frame: the frame.
            prefetched: whether :meth:`prefetch` brought this very frame last.

        Returns:
            Whether it was; if not, :meth:`run` does it.
        """
        if not self._fitted(frame) or not self._replays(index, frame.shape):
            return False
        if index == 0 and not prefetched and not self._input.readable(frame):
            return False
        try:
            self._driver.attach()
            self._begun = self._submitted(index, frame, prefetched=prefetched)
        except BaseException as error:
            self._begun = error
        return True

    def run(
        self,
        index: int,
        frame: npt.NDArray[np.generic],
        outputs: Outputs,
        *,
        prefetched: bool = False,
    ) -> Shapes | None:
        """Run one segment and wait for it; return the outputs' extents if some are dynamic.

        Extents of outputs that are not complete yet are those of an earlier run.

        Args:
            index: which segment.
            frame: the frame.
            outputs: where the outputs go.
            prefetched: whether :meth:`prefetch` brought this very frame last.

        Raises:
            BackendError: the frame is not what the network takes, or an output has no room.
            CudaError: as the driver says.
        """
        sent, self._begun = self._begun, None
        if sent is None:
            self._driver.attach()
            if not self._fitted(frame):
                self._require_fitting(frame)
                self._fitting = frame.shape
        try:
            if sent is None:
                sent = self._submitted(index, frame, prefetched=prefetched)
            else:
                self._driver.attach()
            if isinstance(sent, BaseException):
                raise sent
            self.lane.waiting.behind(self._stream, self._pasts[index])
        except BaseException:
            # Nothing may still run in memory that the next job gets.
            self._driver.synchronize_stream(self._stream)
            raise
        if index >= self._last_reader:
            self._input.let_go()
        for each in sent:
            self._deliver(each, outputs[each.place])
        return self.output_shapes if self._compiled.dynamic_outputs else None

    def _submitted(
        self, index: int, frame: npt.NDArray[np.generic], *, prefetched: bool
    ) -> Sequence[Sent]:
        """Put the copy of the frame and a segment on the stream; return what comes back."""
        if index == 0:
            self._input.send(frame, self._stream, prefetched=prefetched)
        return self._put(index, frame.shape, self._stream)

    @abstractmethod
    def _replays(self, index: int, shape: tuple[int, ...]) -> bool:
        """Return whether a segment is launched as a CUDA graph for a frame of these extents."""

    @abstractmethod
    def _put(self, index: int, shape: tuple[int, ...], stream: int) -> Sequence[Sent]:
        """Put a segment and the copies of its results on the stream; wait for nothing.

        Args:
            index: which segment.
            shape: extents of the frame, which fits.
            stream: where.
        """

    @abstractmethod
    def _graphs_note(self) -> str:
        """Which segments are launched as CUDA graphs; empty where there was no choice."""

    def _fitted(self, frame: npt.NDArray[np.generic]) -> bool:
        """Return whether a frame is one as the last that fitted."""
        return (
            frame.shape == self._fitting
            and frame.dtype == self._frame_dtype
            and frame.flags.c_contiguous
        )

    def _fits(self, frame: npt.NDArray[np.generic]) -> bool:
        declared, largest = self._compiled.frame_input.shape, self._compiled.max_shape
        return (
            frame.ndim == len(declared)
            and all(
                (0 < extent <= bound) if isinstance(wanted, str) else extent == wanted
                for extent, wanted, bound in zip(frame.shape, declared, largest, strict=True)
            )
            and frame.dtype == self._frame_dtype
            and frame.flags.c_contiguous
        )

    def _require_fitting(self, frame: npt.NDArray[np.generic]) -> None:
        if not self._fits(frame):
            declared, largest = self._compiled.frame_input.shape, self._compiled.max_shape
            raise BackendError(
                "the frame does not fit the network's input",
                value=f"{frame.dtype} {list(frame.shape)}",
                expected=f"contiguous {self._frame_dtype} {list(declared)}, at most {largest}",
            )

    def _copy_back(self, name: str, place: int, shape: tuple[int, ...], device: int) -> Sent:
        """Put the copy of what is kept of an output on the network's stream.

        Raises:
            BackendError: it is larger than its memory.
        """
        self._shapes[place] = shape
        sent = self._known.get(place)
        if sent is None or sent.shape != shape:
            sent = self._known[place] = self._sent(name, place, shape)
        for host, offset, nbytes in sent.copies:
            self._driver.copy_out(host, device + offset, nbytes, self._stream)
        return sent

    def _sent(self, name: str, place: int, shape: tuple[int, ...]) -> Sent:
        buffer, info = self._buffers[name], self._compiled.outputs[place]
        kept, itemsize = info.kept(shape), np.dtype(info.dtype).itemsize
        nbytes = math.prod(kept) * itemsize
        if nbytes > buffer.nbytes or min(kept, default=0) < 0:
            raise BackendError(f"output {name!r} has extents {list(kept)}, beyond its memory")
        assert buffer.host is not None
        values = buffer.host[:nbytes].view(info.dtype)
        # Rows that are left out lie between those that are kept where a batch comes before them.
        blocks = 1 if kept == shape else math.prod(kept[: info.rows_axis])
        copies: tuple[tuple[int, int, int], ...] = ()
        if nbytes:
            stride, block = math.prod(shape) * itemsize // blocks, nbytes // blocks
            copies = tuple(
                (buffer.address + at * block, at * stride, block) for at in range(blocks)
            )
        return Sent(name, place, shape, copies, values)

    def _deliver(self, sent: Sent, output: npt.NDArray[np.generic]) -> None:
        values = sent.values
        if values.size > output.size:
            raise BackendError(
                f"output {sent.name!r} is larger than its slot",
                value=self._shapes[sent.place],
                expected=f"at most {output.size} elements",
                hint="Give the network outputs of bounded extents",
            )
        output.reshape(-1)[: values.size] = values

    def _frame_input(self) -> FrameInput:
        """Return the way of the frame to its buffer."""
        buffer = self._buffers[self._compiled.frame_input.name]
        assert buffer.host is not None
        arrived = self._driver.create_event()
        self._undo.callback(self._driver.destroy_event, arrived)
        lane = self.lane
        return FrameInput(
            self._driver,
            lane.frames,
            copies=lane.copies,
            arrived=arrived,
            device=buffer.device,
            host=buffer.host,
        )
