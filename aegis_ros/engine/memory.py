"""Shared memory without a name: nothing to leak when a process is killed."""

from __future__ import annotations

import mmap
import os

import numpy as np
import numpy.typing as npt

__all__ = ["SharedMemory", "aligned"]

_ALIGNMENT = 4096


def aligned(size: int) -> int:
    """Round a size up to whole pages."""
    return (max(size, 1) + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT


class SharedMemory:
    """A block of memory that travels to another process as a file descriptor.

    Args:
        size: bytes, rounded up to whole pages.
        fd: descriptor of an existing block; ``None`` creates one. Owned from here on.
    """

    def __init__(self, size: int, fd: int | None = None) -> None:
        """Create or map the block, touching every page so that no fault comes later."""
        self.size = aligned(size)
        if fd is None:
            self.fd = os.memfd_create("aegis_ros", os.MFD_CLOEXEC)
            os.ftruncate(self.fd, self.size)
        else:
            self.fd = fd
        flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
        self._map = mmap.mmap(self.fd, self.size, flags=flags)
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)

    def array(
        self, offset: int, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[np.generic]:
        """Return a view of ``shape`` and ``dtype`` that begins at ``offset`` bytes."""
        return np.ndarray(shape, dtype, buffer=self._map, offset=offset)

    def close(self) -> None:
        """Close the descriptor; the pages go when the last view of them does."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
