"""Matrices of a GGUF file as ONNX Runtime multiplies with them, bit for bit the same weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["BLOCK", "Blocks", "in_blocks"]

BLOCK = 32
"""Columns that share a scale."""

_HALF, _LOW = np.uint8(4), np.uint8(0x0F)  # of a byte
_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix [rows, columns] whose rows are cut into blocks of :data:`BLOCK` columns.

    A weight is ``(q - 2 ** (bits - 1)) * scale + offset``.

    Attributes:
        bits: of each ``q``, 4 or 8.
        packed: uint8 [rows, blocks, 4 * bits], of 4 bits two in a byte, the first one low.
        scales: float32 [rows, blocks].
        offsets: float32 [rows, blocks]; ``None`` where all are 0.
    """

    bits: int
    packed: _Bytes
    scales: _Floats
    offsets: _Floats | None = None

    def nibbles(self) -> tuple[Blocks, Blocks]:
        """Return two matrices of 4 bits whose sum is this one of 8 bits: high and low halves."""
        high, low = self.packed >> _HALF, self.packed & _LOW
        return (
            Blocks(4, _paired(high), 16 * self.scales, self.offsets),
            Blocks(4, _paired(low), self.scales, 8 * self.scales),
        )


def in_blocks(kind: str, data: _Bytes) -> Blocks | None:
    """Return a matrix in blocks; ``None`` for a kind that has none of this form.

    Args:
        kind: name of the type in GGUF.
        data: uint8 [rows, bytes of a row], as the file holds it.
    """
    if kind not in ("Q4_0", "Q4_1", "Q8_0"):
        return None
    size = {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34}[kind]
    rows = data.shape[0]
    blocks = np.ascontiguousarray(data).reshape(rows, -1, size)
    scales = _halves(blocks[..., 0:2])
    if kind == "Q8_0":
        return Blocks(8, blocks[..., 2:] ^ np.uint8(0x80), scales)  # two's complement plus 128
    if kind == "Q4_0":
        return Blocks(4, _repacked(blocks[..., 2:]), scales)
    least = _halves(blocks[..., 2:4])
    with np.errstate(all="ignore"):  # whoever asks looks for infinite numbers
        offsets = least + 8 * scales
    return Blocks(4, _repacked(blocks[..., 4:]), scales, offsets)


def _halves(data: _Bytes) -> _Floats:
    return np.ascontiguousarray(data).view(np.float16)[..., 0].astype(np.float32)


def _repacked(data: _Bytes) -> _Bytes:
    """Return neighbours in one byte, where GGUF has the halves of a block in one byte."""
    return _paired(np.concatenate((data & _LOW, data >> _HALF), axis=-1))


def _paired(numbers: _Bytes) -> _Bytes:
    packed: _Bytes = numbers[..., 0::2] | (numbers[..., 1::2] << _HALF)
    return packed
