"""How the loops of one kernel run: tiles in registers, vectors along rows, sums in the same order.

TVM writes a convolution as one loop in another, with one sum at a time in memory: a twentieth of
what a core can do. Here a kernel that sums computes a small block of its output at once, which
stays in registers. Each element is summed in the order in which it was before, so that a network in
segments gives the numbers of the whole one, whichever tiles are chosen.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["Order", "Place", "Tile", "in_blocks", "kernel_id", "scheduled", "tiles_of"]

_ID_DIGITS = 32
_TRIED = 4  # blocks of those that promise most, should TVM refuse some

_REGISTERS = 16
_LANES = 8  # numbers in a vector of 256 bits
_WHOLE = (4, 8, 16, 32)  # columns that fill vectors, or half of one
_MOST_COLUMNS = 40
_MOST_CHANNELS = 16
_MOST_UNROLLED = 64  # multiplications of vectors in one piece of code


class Order(StrEnum):
    """Which loop over blocks is the innermost: who reads the same again while it is near."""

    ROWS = "rows"
    CHANNELS = "channels"


class Place(StrEnum):
    """Where what a kernel reads is padded or copied together."""

    BEFORE = "before"
    OUTER = "outer"
    BLOCK = "block"
    NOWHERE = "nowhere"


class Tile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a kernel is computed.

    Attributes:
        channels, rows, columns: extents of the block that is computed at once.
        order: of the loops over blocks.
        place: where its input is brought together.
        apart: whether that has every other column behind the others, which are read one after the
            other where a kernel moves on by two.
    """

    channels: int
    rows: int
    columns: int
    order: Order = Order.ROWS
    place: Place = Place.NOWHERE
    apart: bool = False


def kernel_id(function: Any) -> str:
    """Return what a kernel is known by: two that do the same have the same."""
    return hashlib.sha256(function.script().encode()).hexdigest()[:_ID_DIGITS]


def in_blocks(module: Any, choices: Mapping[str, Tile]) -> Any:
    """Return a network whose kernels compute in blocks, where they can.

    Args:
        module: the network, as kernels.
        choices: the blocks that were found to be fastest, by :func:`kernel_id`.
    """
    from tvm.tirx import PrimFunc

    changed = module.clone()
    for name, function in module.functions_items():
        if isinstance(function, PrimFunc):
            tiles = tiles_of(function)
            chosen = choices.get(kernel_id(function)) if choices and tiles else None
            tried = ([chosen] if chosen in tiles else []) + tiles[:_TRIED]
            first = next(filter(None, (scheduled(function, tile) for tile in tried)), None)
            if first is not None:
                changed.update_func(name, first.with_attrs(function.attrs))
    return changed


class _Kernel:
    """One kernel with its blocks: what comes before the sum, the sum, what comes after."""

    def __init__(self, function: Any) -> None:
        from tvm import s_tir

        self.schedule = s_tir.Schedule(function)
        root = self.schedule.get_sblock("root")
        self.blocks = list(self.schedule.get_child_blocks(root))
        self.kinds = [self._kinds(block) for block in self.blocks]
        sums = [place for place, kinds in enumerate(self.kinds) if "R" in kinds]
        self.place = sums[0] if len(sums) == 1 else -1

    @property
    def sum(self) -> Any:
        return self.blocks[self.place]

    def extents(self, block: Any) -> list[int]:
        """Return how often the loops of a block run; 0 where a frame decides."""
        loops = [self.schedule.get(loop) for loop in self.schedule.get_loops(block)]
        return [int(getattr(loop.extent, "value", 0)) for loop in loops]

    def _kinds(self, block: Any) -> str:
        kinds = (int(each.iter_type) for each in self.schedule.get(block).iter_vars)
        return "".join({0: "S", 2: "R"}.get(kind, "?") for kind in kinds)


def _output(function: Any) -> tuple[int, int, int] | None:
    """Return channels, rows and columns of what a kernel makes, where its loops can be tiled."""
    kernel = _Kernel(function)
    if kernel.place < 0 or kernel.kinds[kernel.place].rstrip("R") != "SSSS":
        return None
    if any(kinds != "SSSS" for kinds in kernel.kinds[kernel.place + 1 :]):
        return None
    extents = kernel.extents(kernel.sum)
    last = kernel.extents(kernel.blocks[-1])
    if not all(extents) or (kernel.place < len(kernel.blocks) - 1 and last != extents[:4]):
        return None
    return extents[1], extents[2], extents[3]


def tiles_of(function: Any) -> list[Tile]:
    """Return all ways to compute a kernel, the most promising first.

    None are returned where its loops stay as TVM writes them.
    """
    try:
        extents = _output(function)
    except Exception:  # its exceptions have no common type; not all kernels have such blocks
        return []
    if extents is None:
        return []
    kernel = _Kernel(function)
    before = kernel.blocks[: kernel.place]
    places = [Place.BEFORE, Place.OUTER, Place.BLOCK] if before else [Place.NOWHERE]
    if before and "if_then_else" not in str(kernel.schedule.get(before[-1]).body):
        places.append(Place.NOWHERE)
    by_two = before and " * T.int64(2)" in str(kernel.schedule.get(kernel.sum).body)
    deep = kernel.extents(kernel.sum)[4] > 1
    channels, rows, columns = (_divisors(extent) for extent in extents)
    tiles = [
        Tile(*block, order, place, apart)
        for block in itertools.product(channels, rows, columns)
        if _fits(*block)
        for order in Order
        for place in places
        for apart in ((True, False) if by_two and place is not Place.NOWHERE else (False,))
    ]
    return sorted(tiles, key=lambda tile: _promise(tile, deep=deep), reverse=True)


def scheduled(function: Any, tile: Tile) -> Any:
    """Return a kernel that computes in blocks; ``None`` where TVM cannot compute it so."""
    try:
        return _scheduled(function, tile)
    except Exception:  # its exceptions have no common type; another tile is tried
        return None


def _scheduled(function: Any, tile: Tile) -> Any:
    kernel = _Kernel(function)
    schedule, total = kernel.schedule, kernel.sum
    before, after = kernel.blocks[: kernel.place], kernel.blocks[kernel.place + 1 :]
    for block in after[:-1]:
        schedule.compute_inline(block)
    last = after[-1] if after else schedule.cache_write(total, 0, "global")
    image, channels, rows, columns = schedule.get_loops(last)[-4:]
    outer_channels, channels = schedule.split(channels, [None, tile.channels])
    outer_rows, rows = schedule.split(rows, [None, tile.rows])
    outer_columns, columns = schedule.split(columns, [None, tile.columns])
    outer = [outer_channels, outer_rows, outer_columns]
    if tile.order is Order.CHANNELS:
        outer = [*outer[1:], outer_channels]
    schedule.reorder(image, *outer, channels, rows, columns)
    schedule.compute_at(total, outer[-1], preserve_unit_loops=True)
    sums = len(kernel.kinds[kernel.place]) - 4
    loops = schedule.get_loops(total)
    block, added = loops[-3 - sums : -sums], loops[-sums:]
    schedule.reorder(*added, *block)
    for each in (columns, block[-1]):
        schedule.vectorize(each)
    for each in (channels, rows, *block[:-1], *_unrolled(kernel, tile, added)):
        schedule.unroll(each)
    schedule.decompose_reduction(total, added[0])
    _bring(schedule, before, outer, tile)
    return schedule.mod["main"]


def _unrolled(kernel: _Kernel, tile: Tile, added: list[Any]) -> Iterator[Any]:
    """Yield the innermost loops of a sum that are short enough to be written out."""
    size = tile.channels * tile.rows * -(-tile.columns // _LANES)
    for loop in reversed(added[1:]):
        size *= int(kernel.schedule.get(loop).extent.value)
        if size > _MOST_UNROLLED * _LANES:
            return
        yield loop


def _bring(schedule: Any, before: list[Any], outer: list[Any], tile: Tile) -> None:
    """Have what a sum reads made where it is wanted, row by row."""
    from tvm.s_tir import ScheduleError

    for number, block in enumerate(before):
        if tile.place is Place.NOWHERE or number < len(before) - 1:
            try:
                schedule.compute_inline(block)
                continue
            except ScheduleError:  # what is written is read in another order
                pass
        elif tile.place is not Place.BEFORE:
            at = outer[0] if tile.place is Place.OUTER else outer[1]
            schedule.compute_at(block, at, preserve_unit_loops=True)
        innermost = schedule.get_loops(block)[-1]
        if int(getattr(schedule.get(innermost).extent, "value", 0)) in range(2, 129):
            schedule.vectorize(innermost)
    if tile.apart:
        schedule.transform_layout(before[-1], ("write", 0), _apart)


def _apart(*places: Any) -> list[Any]:
    *others, column = places
    return [*others, column % 2, column // 2]


def _divisors(extent: int) -> list[int]:
    return [each for each in range(1, extent + 1) if extent % each == 0]


def _fits(channels: int, rows: int, columns: int) -> bool:
    vectors = rows * -(-columns // _LANES)
    return (
        channels <= _MOST_CHANNELS
        and 1 < columns <= _MOST_COLUMNS
        and channels * vectors + vectors + 1 <= _REGISTERS
    )


def _promise(tile: Tile, *, deep: bool) -> tuple[float, ...]:
    """Return how much a block promises: multiplications for what is read, and full vectors.

    Args:
        tile: the block.
        deep: whether a sum is over channels, too.
    """
    vectors = -(-tile.columns // _LANES)
    sums = tile.channels * tile.rows * vectors
    read = tile.channels + tile.rows * vectors
    full = tile.columns / (vectors * _LANES)
    if tile.columns not in _WHOLE:  # a vector that is not full is computed piece by piece
        full *= 0.6 if vectors == 1 else 0.2
    if not deep:
        near = tile.order is Order.ROWS and tile.place is Place.OUTER
        return (full * (tile.channels == 1), near, tile.apart, min(tile.rows, 4))
    near = tile.order is Order.CHANNELS and tile.place in (Place.BLOCK, Place.NOWHERE)
    return (full * sums / (sums + read), near, tile.apart, tile.place is Place.BLOCK)
