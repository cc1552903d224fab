"""Activation memory that the networks of one lane share, since they never run at once."""

from __future__ import annotations

import threading

from aegis_ros.backends.cuda.driver import CudaDriver
from aegis_ros.memory import block_for

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
    user. What is held then follows from who is loaded, in any order, where each names the block
    that it was admitted with. Loading and unloading may happen while the lane computes, in
    whatever block that uses.
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

    def take(self, nbytes: int, size: int = 0) -> Block:
        """Return a block of at least ``nbytes``.

        Args:
            nbytes: what is needed.
            size: of the block, if it is chosen already; 0 for the smallest that is there and large
                enough, or else a new one.

        Raises:
            CudaError: the device has no such memory; nothing is left behind.
        """
        with self._lock:
            blocks = {block.nbytes: block for block in self._blocks}
            wanted = _aligned(max(nbytes, size))
            if not size:
                wanted = block_for(wanted, blocks)
            block = blocks.get(wanted)
            if block is None:
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


def _aligned(nbytes: int) -> int:
    return max(_ALIGNMENT, -(-nbytes // _ALIGNMENT) * _ALIGNMENT)
