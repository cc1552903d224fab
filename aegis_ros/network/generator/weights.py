"""Matrices of a GGUF file as ONNX Runtime multiplies with them, bit for bit the same weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Blocks", "in_blocks"]

_TWO, _HALF, _LOW = np.uint8(2), np.uint8(4), np.uint8(0x0F)  # bits, and half of a byte
_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A matrix [rows, columns] whose rows are cut into blocks of columns that share a scale.

    A weight is ``(q - 2 ** (bits - 1)) * scale + offset``.

    Attributes:
        bits: of each ``q``, 4 or 8.
        packed: uint8 [rows, blocks, bytes of a block], of 4 bits two in a byte, the first one low.
        scales: float32 [rows, blocks].
        offsets: float32 [rows, blocks]; ``None`` where all are 0.
    """

    bits: int
    packed: _Bytes
    scales: _Floats
    offsets: _Floats | None = None

    @property
    def size(self) -> int:
        """Columns of a block."""
        return int(self.packed.shape[-1]) * 8 // self.bits

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
    if kind not in _BYTES:
        return None
    blocks = np.ascontiguousarray(data).reshape(len(data), -1, _BYTES[kind])
    with np.errstate(all="ignore"):  # whoever asks looks for infinite numbers
        return _READERS[kind](blocks)


def _q4_0(blocks: _Bytes) -> Blocks:
    return Blocks(4, _repacked(blocks[..., 2:]), _halves(blocks[..., 0:2]))


def _q4_1(blocks: _Bytes) -> Blocks:
    scales, least = _halves(blocks[..., 0:2]), _halves(blocks[..., 2:4])
    return Blocks(4, _repacked(blocks[..., 4:]), scales, least + 8 * scales)


def _q8_0(blocks: _Bytes) -> Blocks:
    # Two's complement plus 128.
    return Blocks(8, blocks[..., 2:] ^ np.uint8(0x80), _halves(blocks[..., 0:2]))


def _q4_k(blocks: _Bytes) -> Blocks:
    """Eight blocks of 32, whose scales and least weights are numbers of 6 bits."""
    rows = len(blocks)
    scale, least = _halves(blocks[..., 0:2]), _halves(blocks[..., 2:4])
    first, second, rest = (blocks[..., at : at + 4] for at in (4, 8, 12))
    top, low_six = np.uint8(0x30), np.uint8(0x3F)
    numbers = np.concatenate((first & low_six, (rest & _LOW) | ((first >> _TWO) & top)), -1)
    leasts = np.concatenate((second & low_six, (rest >> _HALF) | ((second >> _TWO) & top)), -1)
    scales = scale[..., None] * numbers.astype(np.float32)
    offsets = 8 * scales - least[..., None] * leasts.astype(np.float32)
    halves = blocks[..., 16:].reshape(rows, -1, 32)
    q = np.stack((halves & _LOW, halves >> _HALF), axis=-2)
    return Blocks(
        4, _paired(q).reshape(rows, -1, 16), scales.reshape(rows, -1), offsets.reshape(rows, -1)
    )


def _q6_k(blocks: _Bytes) -> Blocks:
    """Sixteen blocks of 16, whose scales are numbers of 8 bits."""
    rows = len(blocks)
    low = blocks[..., :128].reshape(rows, -1, 2, 64)
    low = np.stack((low & _LOW, low >> _HALF), axis=-2)
    high = blocks[..., 128:192].reshape(rows, -1, 2, 1, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = ((high >> shifts) & np.uint8(3)) << _HALF
    q = low.reshape(rows, -1, 16) | high.reshape(rows, -1, 16)
    scales = np.ascontiguousarray(blocks[..., 192:208]).view(np.int8).astype(np.float32)
    scales = scales * _halves(blocks[..., 208:210])[..., None]
    return Blocks(8, q + np.uint8(96), scales.reshape(rows, -1))  # 32 stands for 0, now 128 does


def _halves(data: _Bytes) -> _Floats:
    return np.ascontiguousarray(data).view(np.float16)[..., 0].astype(np.float32)


def _repacked(data: _Bytes) -> _Bytes:
    """Return neighbours in one byte, where GGUF has the halves of a block in one byte."""
    return _paired(np.concatenate((data & _LOW, data >> _HALF), axis=-1))


def _paired(numbers: _Bytes) -> _Bytes:
    packed: _Bytes = numbers[..., 0::2] | (numbers[..., 1::2] << _HALF)
    return packed


_BYTES = {"Q4_0": 18, "Q4_1": 20, "Q8_0": 34, "Q4_K": 144, "Q6_K": 210}  # of a block in a file
_READERS = {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q8_0": _q8_0, "Q4_K": _q4_k, "Q6_K": _q6_k}
