"""Bytes by kind, and what is in memory on behalf of whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

__all__ = ["Footprint", "Holding", "Taken", "without"]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What something takes of the arena, in bytes.

    Attributes:
        weights: there as long as the network is loaded, each network its own.
        activations: used while a network runs; networks that never run together may share them.
        state: kept from job to job.
        staging: on the way in and out: slots of frames and outputs, their copies on the device.
    """

    weights: int = 0
    activations: int = 0
    state: int = 0
    staging: int = 0

    @property
    def total(self) -> int:
        """Bytes of all kinds."""
        return self.weights + self.activations + self.state + self.staging

    def __add__(self, other: Footprint) -> Footprint:
        """Return both together, with nothing shared."""
        return Footprint(
            self.weights + other.weights,
            self.activations + other.activations,
            self.state + other.state,
            self.staging + other.staging,
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """What something took of a process that loaded it and ran it.

    Attributes:
        nbytes: by how much the process has grown.
        peak_bytes: by how much it had at most, while it was loaded.
    """

    nbytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Holding:
    """Something that is in memory on behalf of tasks.

    Attributes:
        holders: names of the tasks; it goes when the last of them does.
        footprint: what it takes by itself.
        lane: whose jobs use it; what a lane runs, it runs one after the other.
        shares: whether its activations lie in a block that networks of its lane use in turn.
        block_bytes: size of that block; 0 where none is chosen yet.
    """

    holders: tuple[str, ...]
    footprint: Footprint
    lane: str = ""
    shares: bool = False
    block_bytes: int = 0


def without(holdings: Iterable[Holding], tasks: Collection[str]) -> list[Holding]:
    """Return what is left in memory once tasks are removed."""
    left = (
        replace(each, holders=tuple(name for name in each.holders if name not in tasks))
        for each in holdings
    )
    return [each for each in left if each.holders]
