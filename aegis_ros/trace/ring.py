"""A ring of records in shared memory: one writer that never waits, readers that follow it."""

from __future__ import annotations

import mmap

import numpy as np
import numpy.typing as npt

from aegis_ros.trace.records import LAYOUT, RECORD, RECORD_BYTES

__all__ = ["RingReader", "RingWriter", "ring_bytes"]

_HEAD_BYTES = 64  # one cache line for the counter, so that records stay aligned to lines


def ring_bytes(capacity: int) -> int:
    """Return the size of a ring of ``capacity`` records."""
    return _HEAD_BYTES + capacity * RECORD_BYTES


class RingWriter:
    """Writes records; nothing is allocated that is kept, and no reader can hold it up.

    In a ring that was written to before it goes on behind the last whole record, so that readers
    follow a process that is started again.

    A record that nobody has read in time is overwritten; the reader counts it. Its serial number
    lies in the record itself, so that a reader detects a record that is being overwritten.

    Args:
        buffer: shared memory, zeroed, of at least two records; its mapping must outlive this.
    """

    __slots__ = ("_at", "_end", "_head", "_memory", "_pack", "_serial")

    def __init__(self, buffer: mmap.mmap | memoryview | bytearray) -> None:
        """Go on where the ring ends.

        Raises:
            ValueError: the buffer is too small.
        """
        memory = memoryview(buffer)
        capacity = (memory.nbytes - _HEAD_BYTES) // RECORD_BYTES
        if capacity < 2:
            raise ValueError(f"a ring of {memory.nbytes} bytes holds no two records")
        self._memory = memory
        self._head = memory[:8].cast("Q")
        self._pack = LAYOUT.pack_into
        self._serial = self._head[0]
        self._at = _HEAD_BYTES + self._serial % capacity * RECORD_BYTES
        self._end = _HEAD_BYTES + capacity * RECORD_BYTES

    def write(
        self,
        kind: int,
        time_ns: int,
        task: int = 0,
        seq: int = 0,
        *,
        lane: int = 0,
        segment: int = 0,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        d: int = 0,
    ) -> None:
        """Write one record; see :class:`~aegis_ros.trace.records.RecordKind` for the values.

        Raises:
            struct.error: a number does not fit its field.
        """
        self._serial = serial = self._serial + 1
        at = self._at
        self._pack(self._memory, at, kind, lane, segment, task, seq, time_ns, a, b, c, d, serial)
        at += RECORD_BYTES
        self._at = at if at < self._end else _HEAD_BYTES
        # One aligned store of a word, after the record: what is counted has been written.
        self._head[0] = serial

    @property
    def written(self) -> int:
        """How many records were written to the ring."""
        return self._serial


class RingReader:
    """Reads what a writer writes, from another thread or process.

    Args:
        buffer: the writer's memory.
        from_now: pass over what was written before.

    Attributes:
        lost: records that were overwritten before they were read.
    """

    def __init__(
        self, buffer: mmap.mmap | memoryview | bytearray, *, from_now: bool = False
    ) -> None:
        """Begin with the oldest record there is, or with the next one."""
        memory = memoryview(buffer)
        capacity = (memory.nbytes - _HEAD_BYTES) // RECORD_BYTES
        self._head = memory[:8].cast("Q")
        self._records: npt.NDArray[np.void] = np.frombuffer(
            memory, RECORD, capacity, offset=_HEAD_BYTES
        )
        self._read = self._head[0] if from_now else 0
        self.lost = 0

    def read(self) -> npt.NDArray[np.void]:
        """Return copies of all records written since the last call, oldest first, RECORD [N]."""
        head = self._head[0]
        capacity = len(self._records)
        first = max(self._read, head - capacity)
        if first >= head:
            return np.zeros(0, RECORD)
        wanted = np.arange(first, head, dtype=np.uint64)
        copies = self._records[wanted % np.uint64(capacity)]
        # What the writer has reached meanwhile carries another number, or is half of each.
        safe = max(0, self._head[0] + 1 - capacity)
        whole = (copies["serial"] == wanted + np.uint64(1)) & (wanted >= safe)
        kept: npt.NDArray[np.void] = copies[whole]
        self.lost += head - self._read - len(kept)
        self._read = head
        return kept
