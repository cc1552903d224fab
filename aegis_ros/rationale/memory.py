"""Memory of the machine that runs short, and what is shed and restored because of it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason

__all__ = ["RestoredForMemory", "ShedForMemory", "StillShort"]


@dataclass(frozen=True, slots=True)
class ShedForMemory(Reason):
    """A task or generator of best effort is unloaded because memory is short.

    Attributes:
        task: its name.
        nbytes: what its network gives back.
        available_bytes, total_bytes: what is free, and what there is.
        least_bytes: what must stay free; 0 where that is not looked at.
        stalled: share of the last ten seconds that was lost waiting for memory; negative for
            unknown.
        most_stalled: what may be lost.
        source: where that was read.
    """

    decision = Decision.SHED
    rule = Rule.MEMORY

    task: str
    nbytes: int
    available_bytes: int
    total_bytes: int
    least_bytes: int
    stalled: float
    most_stalled: float
    source: str

    def tested(self) -> Inequality:
        """Return what is free against what must be, or the time that was lost."""
        if self.available_bytes < self.least_bytes:
            return Inequality(self.available_bytes / 2**20, "<", self.least_bytes / 2**20, "MiB")
        return Inequality(self.stalled, ">", self.most_stalled, "")


@dataclass(frozen=True, slots=True)
class RestoredForMemory(Reason):
    """A task or generator is loaded again because memory has been free for ``hold_ns``."""

    decision = Decision.RESTORED
    rule = Rule.MEMORY

    task: str
    nbytes: int
    available_bytes: int
    total_bytes: int
    least_bytes: int
    hold_ns: int
    source: str

    def tested(self) -> Inequality:
        """Return what stays free with it against what must."""
        left = (self.available_bytes - self.nbytes) / 2**20
        return Inequality(left, ">=", 1.5 * self.least_bytes / 2**20, "MiB")


@dataclass(frozen=True, slots=True)
class StillShort(Reason):
    """A task or generator that was shed for memory could not be loaded again; it is tried later."""

    decision = Decision.SHED
    rule = Rule.MEMORY

    task: str
    problem: str
