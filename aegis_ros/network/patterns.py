"""Frames to try networks on where none of a robot are at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

__all__ = ["PATTERNS", "Busy", "patterns"]

_Values = npt.NDArray[np.float64]

PATTERNS = 13  # how many there are


@dataclass(frozen=True, slots=True)
class Busy:
    """The pattern on which a network finds most.

    Attributes:
        pattern: its number.
        found: rows that it finds there: of an output, or else of what is inside the network, as a
            suppression whose result is filled up to a fixed number.
        most: rows that the graph allows; 0 where nothing is known to limit them.
        kept: rows that are kept of an output; 0 where no output has rows that the data decides.
    """

    pattern: int
    found: int
    most: int
    kept: int


def patterns(
    shape: tuple[int, ...], dtype: str, chosen: Collection[int] = range(PATTERNS)
) -> Iterator[npt.NDArray[np.generic]]:
    """Yield frames: noise, even ones, steps, spots of several sizes, strokes.

    Detectors answer to noise as to nothing; strokes in rows, like writing, and spots are for them.

    Args:
        shape: of each frame.
        dtype: numpy name of their element type.
        chosen: numbers of those that are wanted, in the order they come in.
    """
    for number, shade in enumerate(_shades(shape)):
        if number not in chosen:
            continue
        values = shade()
        if dtype == "uint8":
            yield np.array(values * 255.0, np.uint8, order="C")
        else:
            yield np.array((values - 0.5) * 40.0, dtype, order="C")


def _shades(shape: tuple[int, ...]) -> Iterator[Callable[[], _Values]]:
    """Yield what makes each frame, values in 0..1; each is the same whichever others are made."""
    generator = np.random.default_rng(0)
    high, wide = _extents(shape)
    along = np.broadcast_to(np.linspace(0.0, 1.0, high)[:, np.newaxis], (high, wide))
    across = np.broadcast_to(np.linspace(0.0, 1.0, wide), (high, wide))
    spots, blocks, strokes = (
        _in_blocks(generator, high, wide, size) for size in ((16, 16), (64, 64), (24, 3))
    )
    every_other = np.indices((high, wide))[0] // 24 % 2 == 1
    rows = np.where(every_other, np.round(strokes), 1.0)
    yield lambda: np.asarray(np.random.default_rng(1).random(shape))
    yield lambda: np.asarray(np.random.default_rng(2).random(shape) * 0.25 + 0.75)
    yield lambda: np.zeros(shape)
    yield lambda: np.ones(shape)
    for plane in (
        along,
        across,
        spots,
        np.round(spots),
        np.round(blocks),
        rows,
        np.where(along < 0.5, rows, 1.0),
        np.where(across < 0.5, rows, 1.0),
        1.0 - rows * (1.0 - np.round(blocks)),
    ):
        yield partial(_spread, plane, shape)


def _extents(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of [.., height, width, channels], [height, width] or [height]."""
    if len(shape) > 2:
        return shape[-3], shape[-2]
    high, wide, *_ = (*shape, 1, 1)
    return high, wide


def _spread(plane: _Values, shape: tuple[int, ...]) -> _Values:
    """Return a plane in all channels, and in all images where there are several."""
    if len(shape) > 2:
        plane = plane[:, :, np.newaxis]
    elif len(shape) < 2:
        plane = plane.reshape(shape)
    return np.broadcast_to(plane, shape)


def _in_blocks(
    generator: np.random.Generator, high: int, wide: int, size: tuple[int, int]
) -> _Values:
    """Return noise in 0..1 that is even within blocks of a size."""
    coarse = generator.random((-(-high // size[0]), -(-wide // size[1])))
    return np.repeat(np.repeat(coarse, size[0], 0), size[1], 1)[:high, :wide]
