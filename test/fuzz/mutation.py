"""Bends inputs: bytes, numbers, parts and words of them; the same for the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

__all__ = ["Mutator"]

_MOST_CHANGES = 6
_WIDTHS = (1, 2, 4, 8)
_ORDERS = ("little", "big")
# What sizes, counts and offsets are compared with, and what does not fit into the next type.
_EDGES = (0, 1, 2, 3, 7, 8, 16, 64, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536,
          1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
_VALUES = (0, -1, 1, 0.5, 255, 65536, -(1 << 31), 1 << 32, (1 << 63) - 1, 1 << 64, 10**30)
_NUMBERS = (
    *(str(value).encode() for value in _VALUES),
    *(b"1e308", b"-1e999", b"1e-320", b".nan", b".inf", b"NaN", b"0x10", b"1_000", b"9" * 400),
)


@dataclass(frozen=True, slots=True)
class Mutator:
    """Makes an input from seeds by a few changes in a row.

    Attributes:
        words: what the format knows: keys, markers, names; they come instead of random bytes.
        most_bytes: largest input.
        text: the format is text, so that numbers are digits.
        mend: makes checksums and the like right again, so that what lies behind them is reached;
            half of the inputs go through it.
    """

    words: tuple[bytes, ...] = ()
    most_bytes: int = 64 * 1024
    text: bool = False
    mend: Callable[[bytes], bytes] | None = None

    def __call__(self, seeds: Sequence[bytes], rng: Random) -> bytes:
        """Return a new input."""
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, _MOST_CHANGES)):
            rng.choice(_CHANGES)(self, data, seeds, rng)
            del data[self.most_bytes :]
        made = bytes(data)
        if self.mend is not None and rng.random() < 0.5:
            made = self.mend(made)[: self.most_bytes]
        return made

    def _byte(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)

    def _bit(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)

    def _number(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        """Put a number at the edge of its type into the place of another one."""
        place = rng.randrange(len(data) + 1)
        if self.text:
            end = place
            while end < len(data) and data[end : end + 1].isdigit():
                end += 1
            data[place:end] = rng.choice(_NUMBERS)
            return
        width = rng.choice(_WIDTHS)
        value = rng.choice(_EDGES) % (1 << (8 * width))
        data[place : place + width] = value.to_bytes(width, rng.choice(_ORDERS))

    def _remove(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        place, length = _part(data, rng)
        del data[place : place + length]

    def _cut(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        del data[rng.randrange(len(data) + 1) :]

    def _move(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        place, length = _part(data, rng)
        part = data[place : place + length]
        if rng.random() < 0.5:
            del data[place : place + length]
        other = rng.randrange(len(data) + 1)
        data[other:other] = part

    def _repeat(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        """Write a part many times over: what is meant to be few becomes many."""
        place, length = _part(data, rng)
        part = data[place : place + length]
        room = max(0, self.most_bytes - len(data)) // max(1, len(part))
        times = min(room, 2 ** rng.randrange(1, 18))
        data[place:place] = bytes(part) * times

    def _join(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        """Go on with a part of another seed."""
        other = rng.choice(seeds)
        place = rng.randrange(len(data) + 1)
        data[place:] = other[rng.randrange(len(other) + 1) :]

    def _word(self, data: bytearray, seeds: Sequence[bytes], rng: Random) -> None:
        """Write what the format knows where it does not belong."""
        word = rng.choice(self.words) if self.words else rng.randbytes(rng.randint(1, 16))
        place = rng.randrange(len(data) + 1)
        replaced = len(word) if rng.random() < 0.5 else 0
        data[place : place + replaced] = word


_CHANGES = (
    Mutator._byte,
    Mutator._bit,
    Mutator._number,
    Mutator._number,
    Mutator._remove,
    Mutator._cut,
    Mutator._move,
    Mutator._repeat,
    Mutator._join,
    Mutator._word,
    Mutator._word,
)


def _part(data: bytearray, rng: Random) -> tuple[int, int]:
    """Return begin and length of a part: mostly a short one."""
    place = rng.randrange(len(data) + 1)
    return place, rng.randint(1, 2 ** rng.randrange(1, 10))
