"""The lanes on which a network can be loaded and run beside what is in memory already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aegis_ros.memory import Footprint, Holding, held, without
from aegis_ros.planning.candidate import Candidate
from aegis_ros.planning.early_exit import early_exit_problem
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.changes import ArenaLarger, Change, DropForArena
from aegis_ros.rationale.rejection import ArenaFull, ArenaShares, Holder
from aegis_ros.rationale.wording import counterfactual

__all__ = ["check_file_fits", "loadable"]

_MIB = 1024 * 1024
_HOLDERS_SHOWN = 3  # of those that hold most, in a rejection


def loadable(
    candidate: Candidate, memory: Sequence[Holding], frames: Footprint, arena_bytes: int
) -> Candidate:
    """Return a candidate with the lanes on which its network can be loaded and run.

    Args:
        candidate: the new task.
        memory: what is in memory for the running tasks.
        frames: slots that its stream needs beyond those that are there.
        arena_bytes: what all may take together.

    Raises:
        Refusal: its early exit is not possible in this cut, or the arena is full.
    """
    problem = early_exit_problem(candidate.spec, candidate.prepared, candidate.compiled)
    if problem is not None:
        raise Refusal(problem)
    stream = Holding((candidate.spec.name,), frames)
    after = {
        lane: held([*memory, stream, candidate.holding(lane)]).total for lane in candidate.lanes
    }
    able = tuple(lane for lane, total in after.items() if total <= arena_bytes)
    if not able:
        least = min(candidate.lanes, key=after.__getitem__)
        raise Refusal(_arena_full(candidate, least, memory, stream, budget=arena_bytes))
    return replace(candidate, lanes=able)


def check_file_fits(task: str, file_bytes: int, arena_bytes: int) -> None:
    """Refuse a file that is larger than the whole arena before anybody reads it.

    Raises:
        Refusal: its weights alone are more than the arena.
    """
    if file_bytes > arena_bytes:
        change = counterfactual(ArenaLarger(task, -(-file_bytes // _MIB)))
        needs = ArenaShares(weights=file_bytes)
        raise Refusal(ArenaFull(task, file_bytes, 0, arena_bytes, (change,), needs))


def _arena_full(
    candidate: Candidate,
    lane: str,
    memory: Sequence[Holding],
    stream: Holding,
    *,
    budget: int,
) -> ArenaFull:
    """Return why a task cannot be loaded on the lane on which it takes least."""
    name = candidate.spec.name
    own = [stream, candidate.holding(lane)]
    used, total = held(memory).total, held([*memory, *own]).total
    changes: list[Change] = [ArenaLarger(name, -(-total // _MIB))]
    tasks = sorted({task for each in memory for task in each.holders})
    freed = {task: total - held([*without(memory, task), *own]).total for task in tasks}
    enough = sorted((size, task) for task, size in freed.items() if total - size <= budget)
    if enough:
        size, task = enough[0]
        changes.append(DropForArena(name, task, size))
    largest = sorted(((size, task) for task, size in freed.items()), reverse=True)
    kinds = candidate.footprint + stream.footprint
    return ArenaFull(
        name,
        total - used,
        used,
        budget,
        tuple(counterfactual(each) for each in changes),
        ArenaShares(kinds.weights, kinds.activations, kinds.state, kinds.staging),
        tuple(Holder(task, size) for size, task in largest[:_HOLDERS_SHOWN] if size),
    )
