"""The node's side of a frame channel: slots that frames lie in, and who still needs them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.types import ChannelSpec
from aegis_ros.engine.wire import pack_place
from aegis_ros.errors import InputError

__all__ = ["Channel", "KeptFrame", "SlotFrame"]


class Channel:
    """Slots of one stream. A slot is free, or needed by a number of jobs and of others.

    Args:
        index: number of the channel on the wire.
        spec: size and format.
    """

    def __init__(self, index: int, spec: ChannelSpec) -> None:
        """Allocate all slots."""
        self.index = index
        self.spec = spec
        self._stride = aligned(spec.slot_bytes)
        self.memory = SharedMemory(self._stride * spec.slots)
        self._free = list(range(spec.slots))
        self._needed = [0] * spec.slots
        self._lock = threading.Lock()
        # Of the frame that lay in each slot last: sizes hardly ever change.
        self._places: list[tuple[tuple[int, ...], bytes]] = [((-1,), b"")] * spec.slots

    def acquire(self) -> int | None:
        """Take a free slot, which the caller needs from then on; ``None`` when all are in use."""
        with self._lock:
            if not self._free:
                return None
            slot = self._free.pop()
            self._needed[slot] = 1
            return slot

    def array(self, slot: int, shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
        """Return a view of a slot for a frame of ``shape``.

        Raises:
            InputError: the frame is larger than the slot.
        """
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(self.spec.dtype).itemsize
        if size > self.spec.slot_bytes:
            raise InputError(
                "the frame is larger than its slot",
                where="frame",
                value=list(shape),
                expected=f"at most {list(self.spec.max_shape)}",
                hint="Raise input.max_size or input.max_points of the task",
            )
        return self.memory.array(slot * self._stride, shape, self.spec.dtype)

    def place(self, slot: int, shape: tuple[int, ...]) -> bytes:
        """Return where a frame of ``shape`` lies, in the words of the wire.

        Raises:
            InputError: the shape has too many extents.
        """
        known, place = self._places[slot]
        if known != shape:
            place = pack_place(self.index, slot, shape)
            self._places[slot] = shape, place
        return place

    def hold(self, slot: int, times: int = 1) -> None:
        """Note that the slot is needed by so many more; each has to :meth:`drop` it."""
        with self._lock:
            self._needed[slot] += times

    def drop(self, slot: int) -> None:
        """Note that one of those who need the slot does not any more."""
        with self._lock:
            self._needed[slot] -= 1
            if self._needed[slot] == 0:
                self._free.append(slot)

    def cancel(self, slot: int) -> None:
        """Give an acquired slot back without submitting it."""
        self.drop(slot)

    def close(self) -> None:
        """Give the memory back once the last view of it is gone."""
        self.memory.close()


@dataclass(slots=True, eq=False)  # one a frame: frozen, it takes three times as long to make
class SlotFrame:
    """A frame that lies in a slot."""

    channel: Channel
    slot: int
    shape: tuple[int, ...]

    def array(self) -> npt.NDArray[np.generic]:
        """Return a view of the frame; valid while somebody needs the slot."""
        return self.channel.array(self.slot, self.shape)

    def place(self) -> bytes:
        """Return where it lies, in the words of the wire.

        Raises:
            InputError: the shape has too many extents.
        """
        return self.channel.place(self.slot, self.shape)

    def hold(self, times: int = 1) -> None:
        """Need the slot so many times more."""
        self.channel.hold(self.slot, times)

    def drop(self) -> None:
        """Need the slot once less."""
        self.channel.drop(self.slot)


class KeptFrame:
    """Keeps a frame in its slot for as long as somebody refers to this object."""

    __slots__ = ("frame",)

    def __init__(self, frame: SlotFrame) -> None:
        """Need the slot once more."""
        frame.hold()
        self.frame = frame

    def __del__(self) -> None:
        """Need it once less: the job that it travelled with has ended, in whatever way."""
        self.frame.drop()
