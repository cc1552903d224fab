"""Memory of one network's inputs, outputs and what its segments hand to each other."""

from __future__ import annotations

import ctypes
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.cuda.driver import CudaDriver

__all__ = ["Buffer", "Buffers"]


@dataclass(frozen=True)
class Buffer:
    """A tensor on the device, and in page-locked memory where it comes from or goes to the host.

    Attributes:
        device: address on the device.
        nbytes: room.
        host: page-locked memory of the same size, uint8 [nbytes]; ``None`` for a tensor that
            segments hand to each other.
        address: of ``host``; 0 for none.
    """

    device: int
    nbytes: int
    host: npt.NDArray[np.uint8] | None
    address: int


class Buffers(dict[str, Buffer]):
    """Buffers by name of their tensors.

    Args:
        driver: the GPU.
        undo: given what frees them.
    """

    def __init__(self, driver: CudaDriver, undo: ExitStack) -> None:
        """Hold nothing yet."""
        super().__init__()
        self._driver = driver
        self._undo = undo
        undo.callback(self.clear)

    @property
    def device_bytes(self) -> int:
        """Bytes taken on the device."""
        return sum(buffer.nbytes for buffer in self.values())

    def take(self, name: str, nbytes: int, *, with_host: bool) -> None:
        """Allocate the buffer of a tensor, at least one byte.

        Raises:
            CudaError: the device or the host has no such memory.
        """
        nbytes = max(nbytes, 1)
        device = self._driver.allocate(nbytes)
        self._undo.callback(self._driver.free, device)
        host, address = None, 0
        if with_host:
            address = self._driver.allocate_pinned(nbytes)
            self._undo.callback(self._driver.free_pinned, address)
            host = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
            host[:] = 0
        self[name] = Buffer(device, nbytes, host, address)
