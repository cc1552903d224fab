"""A frame's way to the device: straight from the memory it lies in, and ahead of its job."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.addresses import address_of
from aegis_ros.backends.cuda.driver import CudaDriver, CudaError

__all__ = ["FrameInput", "FrameMemory"]

Frame = npt.NDArray[np.generic]


class FrameMemory:
    """Host memory whose pages are locked, so that the copy engine reads frames where they lie.

    One thread at a time may pin and unpin; any may ask.

    Args:
        driver: the GPU.

    Attributes:
        refusal: what the driver said where it could not lock pages; empty while it could.
    """

    def __init__(self, driver: CudaDriver) -> None:
        """Hold nothing yet."""
        self.refusal = ""
        self._driver = driver
        self._ranges: tuple[tuple[int, int], ...] = ()  # (address, bytes); replaced, never changed

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Lock its pages, or note why not: frames are then copied by the CPU first.

        Raises:
            CudaError: the context is lost.
        """
        try:
            self._driver.pin(address_of(memory), memory.nbytes)
        except CudaError as error:
            if error.sticky:
                raise
            self.refusal = str(error)
            return
        self._ranges = (*self._ranges, (address_of(memory), memory.nbytes))

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Let its pages go, if they were locked; no copy may be under way.

        Raises:
            CudaError: as the driver says.
        """
        address = address_of(memory)
        kept = tuple(each for each in self._ranges if each[0] != address)
        if kept != self._ranges:
            self._ranges = kept
            self._driver.unpin(address)

    def close(self) -> None:
        """Let all pages go.

        Raises:
            CudaError: as the driver says.
        """
        ranges, self._ranges = self._ranges, ()
        for address, _ in ranges:
            self._driver.unpin(address)

    def place_of(self, frame: Frame) -> int:
        """Return where a frame lies in it; 0 where it lies elsewhere."""
        begin = address_of(frame)
        end = begin + frame.nbytes
        for address, size in self._ranges:
            if address <= begin and end <= address + size:
                return begin
        return 0


class FrameInput:
    """The frame of one network on the device.

    The next job's frame may be copied on the lane's second stream while another network computes;
    the job then waits for an event instead of a copy.

    Args:
        driver: the GPU.
        memory: where frames may lie.
        copies: stream for copies ahead.
        arrived: event that is recorded behind them.
        device: address of the buffer.
        host: page-locked room for a frame that lies elsewhere, uint8 [bytes of the largest].
    """

    def __init__(
        self,
        driver: CudaDriver,
        memory: FrameMemory,
        *,
        copies: int,
        arrived: int,
        device: int,
        host: npt.NDArray[np.uint8],
    ) -> None:
        """Hold no frame yet."""
        self._driver = driver
        self._memory = memory
        self._copies = copies
        self._arrived = arrived
        self._device = device
        self._host = host
        self._in_use = False
        self._under_way = False

    def claim(self) -> None:
        """Keep the buffer for a job that begins; before its first segment is handed over."""
        self._in_use = True

    def let_go(self) -> None:
        """Say that no segment of the job reads the frame any more."""
        self._in_use = False

    def prefetch(self, frame: Frame) -> bool:
        """Begin the copy of a frame whose job waits; return whether it was begun.

        Raises:
            CudaError: as the driver says; no copy is under way then.
        """
        source = 0 if self._in_use else self._memory.place_of(frame)
        if not source:
            return False
        self._driver.attach()
        try:
            self._driver.copy_in(self._device, source, frame.nbytes, self._copies)
            self._driver.record(self._arrived, self._copies)
        except BaseException:
            self._driver.synchronize_stream(self._copies)
            raise
        self._under_way = True
        return True

    def readable(self, frame: Frame) -> bool:
        """Return whether :meth:`send` leaves the copy to the GPU."""
        return self._memory.place_of(frame) != 0

    def send(self, frame: Frame, stream: int, *, prefetched: bool) -> None:
        """Have what follows on a stream find the frame in the buffer.

        Raises:
            CudaError: as the driver says.
        """
        if self._under_way:
            # Also where it is another job's frame: that copy must not land on top of this one.
            self._driver.wait(stream, self._arrived)
            self._under_way = False
        if prefetched:
            return
        source = self._memory.place_of(frame)
        if not source:
            self._host[: frame.nbytes] = frame.reshape(-1).view(np.uint8)
            source = address_of(self._host)
        self._driver.copy_in(self._device, source, frame.nbytes, stream)
