"""The output slots of one task: where its tensors lie in shared memory."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import CompiledNetwork
from aegis_ros.engine.memory import SharedMemory, aligned
from aegis_ros.engine.types import LeftOut

__all__ = ["OUTPUT_SLOTS", "OutputSlots", "output_bytes"]

OUTPUT_SLOTS = 4  # of each task

_MAX_RANK = 7
_COLUMNS = 1 + _MAX_RANK + 1
_DYNAMIC_SLACK_BYTES = 64 * 1024


class OutputSlots:
    """Slots that a network's outputs are written to by the engine and read from by the node.

    A slot begins with one row an output, int64 [9]: rank, extents, and how many rows the run found,
    which only matter for dynamic outputs; each output follows at a multiple of 64 bytes. A dynamic
    output has room for the rows that are kept of it, or else for twice what was seen when the
    network was prepared, and 64 KiB more.

    Args:
        compiled: the network.
        slots: number of slots.
        fd: descriptor of the memory another process made; ``None`` makes it.
    """

    def __init__(self, compiled: CompiledNetwork, slots: int, fd: int | None = None) -> None:
        """Create or map the memory, with all views that are ever used."""
        self._names = [item.name for item in compiled.outputs]
        self._dynamic = [item.name in compiled.dynamic_outputs for item in compiled.outputs]
        self._outputs = compiled.outputs
        self._bounded = [
            (index, item)
            for index, item in enumerate(compiled.outputs)
            if self._dynamic[index] and item.rows_axis >= 0
        ]
        count = len(compiled.outputs)
        places, stride = _layout(compiled)
        self.memory = SharedMemory(stride * slots, fd)
        self.count = slots
        self._arrays = [
            [
                self.memory.array(slot * stride + offset, shape, dtype)
                for offset, shape, dtype in places
            ]
            for slot in range(slots)
        ]
        self._extents = [
            self.memory.array(slot * stride, (count, _COLUMNS), np.int64) for slot in range(slots)
        ]

    def arrays(self, slot: int) -> list[npt.NDArray[np.generic]]:
        """Return the arrays a backend fills; flat for dynamic outputs."""
        return self._arrays[slot]

    def note_extents(self, slot: int, shapes: tuple[tuple[int, ...], ...]) -> None:
        """Write down the extents that the outputs have in this slot.

        Args:
            slot: number of the slot.
            shapes: that the run gave them; of more rows than are kept, the first are there.

        Raises:
            ValueError: there is no room for so many values or extents.
            Exception: these are no extents, in any way.
        """
        rows = self._extents[slot]
        for index, found in enumerate(shapes):
            item = self._outputs[index]
            shape = item.kept(found)
            if self._dynamic[index] and not 0 <= prod(shape) <= self._arrays[slot][index].size:
                raise ValueError(f"output {self._names[index]!r} cannot be of shape {shape}")
            rows[index, 0] = len(shape)  # type: ignore[index]
            rows[index, 1 : 1 + len(shape)] = shape  # type: ignore[index]
            rows[index, -1] = 0 if shape == found else found[item.rows_axis]  # type: ignore[index]

    def views(self, slot: int) -> dict[str, npt.NDArray[np.generic]]:
        """Return the outputs by name, with the extents they have in this slot."""
        found = dict(zip(self._names, self._arrays[slot], strict=True))
        for index, dynamic in enumerate(self._dynamic):
            if dynamic:
                row: list[int] = self._extents[slot][index].tolist()
                shape = tuple(row[1 : 1 + row[0]])
                flat = found[self._names[index]]
                found[self._names[index]] = flat[: int(np.prod(shape))].reshape(shape)
        return found

    def left_out(self, slot: int) -> tuple[LeftOut, ...]:
        """Return the outputs of which the run found more rows than are kept."""
        return tuple(
            LeftOut(item.name, int(item.shape[item.rows_axis]), found)
            for index, item in self._bounded
            if (found := int(self._extents[slot][index, -1]))  # type: ignore[index]
        )

    def close(self) -> None:
        """Give the memory back once this object and the last view are gone."""
        self.memory.close()


def output_bytes(compiled: CompiledNetwork) -> int:
    """Return the size of all output slots of a task that runs a network."""
    return _layout(compiled)[1] * OUTPUT_SLOTS


def _layout(
    compiled: CompiledNetwork,
) -> tuple[list[tuple[int, tuple[int, ...], str]], int]:
    """Return (offset, shape, element type) of each output in a slot, and the size of a slot."""
    places: list[tuple[int, tuple[int, ...], str]] = []
    size = len(compiled.outputs) * _COLUMNS * 8
    for item in compiled.outputs:
        size = (size + 63) // 64 * 64
        shape = tuple(int(extent) for extent in item.shape)
        nbytes = item.nbytes
        if item.name in compiled.dynamic_outputs and item.rows_axis >= 0:
            shape = (max(1, nbytes // np.dtype(item.dtype).itemsize),)
            nbytes = shape[0] * np.dtype(item.dtype).itemsize
        elif item.name in compiled.dynamic_outputs:
            itemsize = np.dtype(item.dtype).itemsize
            shape = ((2 * nbytes + _DYNAMIC_SLACK_BYTES) // itemsize,)
            nbytes = shape[0] * itemsize
        places.append((size, shape, item.dtype))
        size += nbytes
    return places, aligned(size)
