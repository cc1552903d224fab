"""Activation memory that the networks of one lane share, since they never run at once."""

from __future__ import annotations

import threading

from aegis_ros.backends.cuda.driver import CudaDriver

__all__ = ["Arena", "Block"]

_ALIGNMENT = 256  # TensorRT wants it of memory it is handed


class Block:
    """A piece of device memory; every network that uses it counts.

    Attributes:
        address, nbytes: as the driver allocated it.
        users: how many networks use it.
    """

    def __init__(self, address: int, nbytes: int) -> None:
        """Nobody uses it yet."""
        self.address = address
        self.nbytes = nbytes
        self.users = 0


class Arena:
    """The blocks of one lane.

    A network that needs more than any block has gets a new, larger one; networks that were there
    before keep theirs, since their graphs have its address in them. A block goes with its last
    user. Loading and unloading may happen while the lane computes, in whatever block that uses.
    """

    def __init__(self, driver: CudaDriver) -> None:
        """Hold nothing yet."""
        self._driver = driver
        self._blocks: list[Block] = []
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(block.nbytes for block in self._blocks)

    def take(self, nbytes: int) -> Block:
        """Return a block of at least ``nbytes``.

        Raises:
            CudaError: the device has no such memory; nothing is left behind.
        """
        wanted = max(_ALIGNMENT, -(-nbytes // _ALIGNMENT) * _ALIGNMENT)
        with self._lock:
            fitting = [block for block in self._blocks if block.nbytes >= wanted]
            if fitting:
                block = min(fitting, key=lambda item: item.nbytes)
            else:
                block = Block(self._driver.allocate(wanted), wanted)
                self._blocks.append(block)
            block.users += 1
            return block

    def give_back(self, block: Block) -> None:
        """End one use of a block."""
        with self._lock:
            block.users -= 1
            if block.users:
                return
            self._blocks.remove(block)
            self._driver.free(block.address)
