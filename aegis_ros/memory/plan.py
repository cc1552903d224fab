"""Who holds what of the arena: each byte once, what is used in turn as often as it is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from aegis_ros.memory.footprint import Footprint, Holding

__all__ = ["ArenaPlan", "Kind", "Piece", "arena_plan", "block_for", "placed"]


class Kind(StrEnum):
    """What a piece of the arena is for; as the fields of :class:`Footprint`."""

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"
    STATE = "state"
    STAGING = "staging"


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the arena.

    Attributes:
        holders: names of the tasks; it goes when the last of them does.
        kind: what it is for.
        nbytes: its size.
        lane: whose networks use it in turn; empty for what one of them has for itself.
    """

    holders: tuple[str, ...]
    kind: Kind
    nbytes: int
    lane: str = ""


@dataclass(frozen=True, slots=True)
class ArenaPlan:
    """What is in memory at one moment.

    Attributes:
        pieces: none of them empty; together they are all of it.
    """

    pieces: tuple[Piece, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all pieces."""
        return sum(each.nbytes for each in self.pieces)

    @property
    def footprint(self) -> Footprint:
        """The same by kind."""
        return _by_kind(self.pieces)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all holders, the first one first."""
        return tuple(dict.fromkeys(task for each in self.pieces for task in each.holders))

    def of(self, task: str) -> Footprint:
        """Return what a task holds for itself, by kind: what is free once it is removed."""
        return _by_kind(each for each in self.pieces if each.holders == (task,))

    @property
    def shared(self) -> tuple[Piece, ...]:
        """What several tasks hold together."""
        return tuple(each for each in self.pieces if len(each.holders) > 1)


def _by_kind(pieces: Iterable[Piece]) -> Footprint:
    sizes = dict.fromkeys(Kind, 0)
    for each in pieces:
        sizes[each.kind] += each.nbytes
    return Footprint(**{kind.value: size for kind, size in sizes.items()})


def block_for(need: int, sizes: Iterable[int]) -> int:
    """Return the size of the block in which a network's activations are to lie.

    The smallest block of its lane that is large enough, else a new one of its own size: blocks do
    not grow, since what uses one knows its address.

    Args:
        need: bytes of its activations.
        sizes: of the blocks that its lane has.
    """
    need = max(1, need)  # who needs nothing uses a block all the same, and keeps it
    return min((size for size in sizes if size >= need), default=need)


def placed(holding: Holding, beside: Iterable[Holding]) -> Holding:
    """Return a holding with its block chosen, if it shares and has none.

    Args:
        holding: what is to be loaded.
        beside: what is in memory, in the order in which it was loaded.
    """
    return tuple(_all_placed([*beside, holding]))[-1]


def _all_placed(holdings: Iterable[Holding]) -> Iterator[Holding]:
    """Yield holdings with blocks: those that have one first, as they are loaded, then in order."""
    blocks: dict[str, set[int]] = {}
    known = list(holdings)
    for each in known:
        if each.shares and each.block_bytes:
            blocks.setdefault(each.lane, set()).add(each.block_bytes)
    for each in known:
        if each.shares and not each.block_bytes:
            sizes = blocks.setdefault(each.lane, set())
            block = block_for(each.footprint.activations, sizes)
            sizes.add(block)
            each = replace(each, block_bytes=block)
        yield each


def arena_plan(holdings: Iterable[Holding]) -> ArenaPlan:
    """Return what all take together.

    A block is there once a lane, for all networks that lie in it. How much that is depends on the
    order in which they are loaded: a network that is larger than all before it gets another block.

    Args:
        holdings: in the order in which they are loaded, where no block is chosen yet.
    """
    pieces: list[Piece] = []
    blocks: dict[tuple[str, int], list[str]] = {}
    for each in _all_placed(holdings):
        own = each.footprint
        activations = own.activations
        if each.shares:
            users = blocks.setdefault((each.lane, each.block_bytes), [])
            users += [task for task in each.holders if task not in users]
            activations = 0
        for kind, nbytes in (
            (Kind.WEIGHTS, own.weights),
            (Kind.ACTIVATIONS, activations),
            (Kind.STATE, own.state),
            (Kind.STAGING, own.staging),
        ):
            if nbytes:
                pieces.append(Piece(each.holders, kind, nbytes))
    pieces += [
        Piece(tuple(users), Kind.ACTIVATIONS, nbytes, lane)
        for (lane, nbytes), users in blocks.items()
    ]
    return ArenaPlan(tuple(pieces))
