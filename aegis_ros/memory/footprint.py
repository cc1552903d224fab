"""Bytes by kind, and what several holders take together where they share some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Footprint", "Holding", "held", "without"]


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
class Holding:
    """Something that is in memory on behalf of tasks.

    Attributes:
        holders: names of the tasks; it goes when the last of them does.
        footprint: what it takes by itself.
        lane: whose jobs use it; what a lane runs, it runs one after the other.
        shares: whether its activations lie where those of the others of its lane do.
    """

    holders: tuple[str, ...]
    footprint: Footprint
    lane: str = ""
    shares: bool = False


def held(holdings: Iterable[Holding]) -> Footprint:
    """Return what all take together: shared activations count once a lane, the largest of them."""
    total = Footprint()
    shared: dict[str, int] = {}
    for each in holdings:
        own = each.footprint
        activations = own.activations
        if each.shares:
            shared[each.lane] = max(shared.get(each.lane, 0), activations)
            activations = 0
        total += Footprint(own.weights, activations, own.state, own.staging)
    return total + Footprint(activations=sum(shared.values()))


def without(holdings: Iterable[Holding], task: str) -> list[Holding]:
    """Return what is left in memory once a task is removed."""
    return [each for each in holdings if each.holders != (task,)]
