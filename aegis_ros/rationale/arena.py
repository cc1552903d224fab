"""A task does not fit into the arena: who holds what of it, and when."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason
from aegis_ros.rationale.record import Counterfactual

__all__ = ["ArenaFull", "ArenaShares", "HeldTwice", "Holder", "SharedPiece"]


@dataclass(frozen=True, slots=True)
class ArenaShares:
    """Bytes by kind."""

    weights: int = 0
    activations: int = 0
    state: int = 0
    staging: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A running task, and the bytes that are free once it is removed, by kind."""

    task: str
    freed_bytes: int
    shares: ArenaShares = ArenaShares()


@dataclass(frozen=True, slots=True)
class SharedPiece:
    """What several tasks hold together: it is free once the last of them is removed.

    Attributes:
        tasks: their names.
        holds: ``activations`` that lie in the same place, or ``staging`` of frames.
        nbytes: its size.
        lane: whose networks use it in turn; empty for what is used at any time.
    """

    tasks: tuple[str, ...]
    holds: str
    nbytes: int
    lane: str = ""


@dataclass(frozen=True, slots=True)
class HeldTwice:
    """The moment at which a running task is on its way to another lane, and in memory on both."""

    task: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ArenaFull(Reason):
    """The network needs more memory than the arena has left.

    Attributes:
        task: its name.
        need_bytes: what it adds to what is used.
        used_bytes: what the others hold.
        arena_bytes: the limit.
        counterfactuals: changes that would admit it.
        needs: what it would hold for itself, by kind.
        holders: what each other task holds for itself, the most first.
        shared: what several hold together, the task perhaps one of them.
        twice: who is in memory twice at that moment; ``None`` where nobody has to move.
    """

    decision = Decision.REJECTED
    rule = Rule.ARENA

    task: str
    need_bytes: int
    used_bytes: int
    arena_bytes: int
    counterfactuals: tuple[Counterfactual, ...]
    needs: ArenaShares = ArenaShares()
    holders: tuple[Holder, ...] = ()
    shared: tuple[SharedPiece, ...] = ()
    twice: HeldTwice | None = None

    def tested(self) -> Inequality:
        """Return what would be used against the size of the arena."""
        mib = 1024 * 1024
        total = self.used_bytes + self.need_bytes
        return Inequality(total / mib, ">", self.arena_bytes / mib, "MiB")
