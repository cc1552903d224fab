"""Whether a network can be loaded and run beside what is in memory already, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from aegis_ros.memory import Holding, arena_plan, placed
from aegis_ros.planning.arena_witness import arena_full
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.early_exit import early_exit_problem
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.relocation import Move
from aegis_ros.planning.streaming import fewer_resident
from aegis_ros.rationale.arena import ArenaFull, ArenaShares, HeldTwice
from aegis_ros.rationale.changes import ArenaLarger
from aegis_ros.rationale.wording import counterfactual

__all__ = ["check_file_fits", "full_while_moving", "has_room", "in_blocks", "loadable"]

_MIB = 1024 * 1024


def loadable(candidate: Candidate, memory: Sequence[Holding], arena_bytes: int) -> Candidate:
    """Return a candidate with the lanes on which its network can be loaded and run.

    Args:
        candidate: the new task.
        memory: what is in memory for the running tasks, and for the frames of this one.
        arena_bytes: what all may take together.

    Raises:
        Refusal: its early exit is not possible in this cut, or the arena is full.
    """
    problem = early_exit_problem(candidate.spec, candidate.prepared, candidate.compiled)
    if problem is not None:
        raise Refusal(problem)
    after = {lane: [*memory, candidate.holding(lane)] for lane in candidate.lanes}
    total = {lane: arena_plan(together).nbytes for lane, together in after.items()}
    able = tuple(lane for lane in candidate.lanes if total[lane] <= arena_bytes)
    if not able:
        least = min(candidate.lanes, key=total.__getitem__)
        full = arena_full(candidate.spec.name, [after[least]], arena_bytes)
        fewer = fewer_resident(
            candidate.spec.name,
            candidate.compiled,
            lambda other: has_room(replace(candidate, compiled=other), memory, arena_bytes),
        )
        raise Refusal(replace(full, counterfactuals=(*fewer, *full.counterfactuals)))
    return replace(candidate, lanes=able)


def has_room(candidate: Candidate, memory: Sequence[Holding], arena_bytes: int) -> bool:
    """Return whether a network can be loaded on one of its lanes.

    Args:
        candidate: the task.
        memory: as for :func:`loadable`.
        arena_bytes: what all may take together.
    """
    return any(
        arena_plan([*memory, candidate.holding(lane)]).nbytes <= arena_bytes
        for lane in candidate.lanes
    )


def in_blocks(
    candidate: Candidate,
    lane: str,
    moves: Sequence[Move],
    *,
    movable: Mapping[str, Options],
    memory: Sequence[Holding],
) -> tuple[Candidate, tuple[Move, ...]]:
    """Return a new task and the moves for it, with the block of each one's lane.

    Args:
        candidate: the new task.
        lane: where it goes.
        moves: running tasks that go to other lanes once it is loaded.
        movable: those tasks, as they run there.
        memory: as for :func:`loadable`.
    """
    own = placed(candidate.holding(lane), memory)
    blocks = {(each.holders, each.lane): each.block_bytes for each in memory if each.shares}
    found = tuple(
        replace(
            move,
            block_before=blocks.get(((move.task,), move.before), 0),
            block_after=copy.block_bytes,
        )
        for move, _, copy in _moved(moves, movable, [*memory, own])
    )
    return replace(candidate, block_bytes=own.block_bytes), found


def full_while_moving(
    candidate: Candidate,
    lane: str,
    moves: Sequence[Move],
    *,
    movable: Mapping[str, Options],
    memory: Sequence[Holding],
    arena_bytes: int,
) -> ArenaFull | None:
    """Return why running tasks cannot move for a new one; ``None`` where there is always room.

    The new network is loaded first, and each that moves is in memory twice until its old lane is
    free of it.

    Args:
        candidate: the new task.
        lane: where it goes.
        moves: in their order.
        movable: the tasks that move, as they run where they go.
        memory: as for :func:`loadable`.
        arena_bytes: what all may take together.
    """
    moments = sorted(
        (
            ([*there, copy], HeldTwice(move.task, move.before, move.after))
            for move, there, copy in _moved(moves, movable, [*memory, candidate.holding(lane)])
        ),
        key=lambda moment: -arena_plan(moment[0]).nbytes,
    )
    worst, twice = moments[0]
    if arena_plan(worst).nbytes <= arena_bytes:
        return None
    found = arena_full(candidate.spec.name, [each for each, _ in moments], arena_bytes)
    return replace(found, twice=twice)


def check_file_fits(task: str, file_bytes: int, arena_bytes: int) -> None:
    """Refuse a file that is larger than the whole arena before anybody reads it.

    Raises:
        Refusal: its weights alone are more than the arena.
    """
    if file_bytes > arena_bytes:
        change = counterfactual(ArenaLarger(task, -(-file_bytes // _MIB)))
        needs = ArenaShares(weights=file_bytes)
        raise Refusal(ArenaFull(task, file_bytes, 0, arena_bytes, (change,), needs))


def _moved(
    moves: Sequence[Move], movable: Mapping[str, Options], present: Sequence[Holding]
) -> Iterator[tuple[Move, list[Holding], Holding]]:
    """Yield each move with what is in memory before it, and what is loaded for it in addition."""
    there = list(present)
    for move in moves:
        copy = placed(movable[move.task].on(move.after).holding(move.after), there)
        yield move, there, copy
        there = [each for each in there if (each.holders, each.lane) != ((move.task,), move.before)]
        there.append(copy)
