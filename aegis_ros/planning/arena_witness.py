"""Why a task does not fit into the arena: who holds what, and what would make room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from aegis_ros.memory import ArenaPlan, Footprint, Holding, arena_plan, without
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.arena import ArenaFull, ArenaShares, Holder, SharedPiece
from aegis_ros.rationale.changes import ArenaLarger, Change, DropForArena, DropTasks
from aegis_ros.rationale.generators import CacheTooLarge
from aegis_ros.rationale.wording import counterfactual

__all__ = ["arena_full", "holders_of", "room_makers", "shared_of", "with_witness"]

_MIB = 1024 * 1024

Moments = Sequence[Sequence[Holding]]


def arena_full(task: str, moments: Moments, arena_bytes: int) -> ArenaFull:
    """Return why a task cannot be loaded.

    Args:
        task: its name.
        moments: what would be in memory with it, at the worst moment and then at all others.
        arena_bytes: what may be.
    """
    whole, others = arena_plan(moments[0]), arena_plan(without(moments[0], [task]))
    return ArenaFull(
        task,
        whole.nbytes - others.nbytes,
        others.nbytes,
        arena_bytes,
        room_makers(task, moments, arena_bytes),
        _shares(whole.of(task)),
        tuple(each for each in holders_of(whole) if each.task != task),
        shared_of(whole),
    )


def with_witness(
    reason: CacheTooLarge, own: Holding, memory: Sequence[Holding], arena_bytes: int
) -> CacheTooLarge:
    """Return why a generator's cache does not fit, with who holds the rest and what would help.

    Args:
        reason: without both.
        own: what the generator takes, its cache included.
        memory: what is in memory for all others.
        arena_bytes: what all may take together.
    """
    plan = arena_plan(memory)
    return replace(
        reason,
        counterfactuals=room_makers(reason.task, [[*memory, own]], arena_bytes),
        holders=holders_of(plan),
        shared=shared_of(plan),
    )


def room_makers(task: str, moments: Moments, arena_bytes: int) -> tuple[Counterfactual, ...]:
    """Return what would make room for a task: a larger arena, or fewer of the others.

    Of single tasks whose removal is enough, the one that holds least; else those that hold most,
    one after the other, without any among them that may stay. Each is tried.

    Args:
        task: that does not fit.
        moments: as for :func:`arena_full`.
        arena_bytes: what may be in memory.
    """

    def most(dropped: Sequence[str]) -> int:
        return max(arena_plan(without(each, dropped)).nbytes for each in moments)

    total = most(())
    changes: list[Change] = [ArenaLarger(task, -(-total // _MIB))]
    others = [name for name in arena_plan(moments[0]).tasks if name != task]
    freed = {name: total - most([name]) for name in others}
    enough = [name for name in others if total - freed[name] <= arena_bytes]
    if enough:
        single = min(enough, key=lambda name: (freed[name], name))
        changes.append(DropForArena(task, single, freed[single]))
    elif others and most(others) <= arena_bytes:
        changes.append(DropTasks(task, _several(others, moments[0], most, arena_bytes)))
    return tuple(counterfactual(each) for each in changes)


def _several(
    others: Sequence[str],
    worst: Sequence[Holding],
    most: Callable[[Sequence[str]], int],
    arena_bytes: int,
) -> tuple[str, ...]:
    """Return tasks whose removal is enough, all of them together being so."""
    dropped: list[str] = []
    while most(dropped) > arena_bytes:
        plan = arena_plan(without(worst, dropped))
        left = [name for name in others if name not in dropped]
        dropped.append(max(left, key=lambda name: (_part(plan, name), name)))
    while fewer := _fewer(dropped, most, arena_bytes):
        dropped = fewer
    return tuple(dropped)


def _fewer(
    dropped: Sequence[str], most: Callable[[Sequence[str]], int], arena_bytes: int
) -> list[str]:
    """Return tasks but one that may stay; none where each of them has to go."""
    rests = ([each for each in dropped if each != name] for name in dropped)
    return next((rest for rest in rests if most(rest) <= arena_bytes), [])


def _part(plan: ArenaPlan, task: str) -> float:
    """Return what a task holds; of what is held together, its part."""
    return sum(each.nbytes / len(each.holders) for each in plan.pieces if task in each.holders)


def holders_of(plan: ArenaPlan) -> tuple[Holder, ...]:
    """Return what each task holds for itself, the most first; nobody who holds nothing so."""
    own = [(name, plan.of(name)) for name in plan.tasks]
    ranked = sorted(own, key=lambda item: (-item[1].total, item[0]))
    return tuple(Holder(name, held.total, _shares(held)) for name, held in ranked if held.total)


def shared_of(plan: ArenaPlan) -> tuple[SharedPiece, ...]:
    """Return what several tasks hold together, the most first."""
    pieces = sorted(plan.shared, key=lambda each: -each.nbytes)
    return tuple(
        SharedPiece(each.holders, str(each.kind), each.nbytes, each.lane) for each in pieces
    )


def _shares(footprint: Footprint) -> ArenaShares:
    return ArenaShares(footprint.weights, footprint.activations, footprint.state, footprint.staging)
