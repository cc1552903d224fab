"""How many of a task's segments have their weights in memory, and what other numbers would cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import cast

from aegis_ros.analysis import AnalysisTask
from aegis_ros.backends import (
    Backend,
    CompiledNetwork,
    Streams,
    plan_of,
    streamed,
    streaming_backends,
)
from aegis_ros.planning.candidate import Candidate, loaded_footprint
from aegis_ros.planning.early_exit import plan_for
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.admission import WeightsStreamed
from aegis_ros.rationale.changes import ResidentOther
from aegis_ros.rationale.rejection import NotStreamed
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.spec import Resident, TaskSpec

__all__ = ["STREAMED_SEGMENTS", "as_asked", "fewer_resident", "more_resident", "why_streamed"]

STREAMED_SEGMENTS = (8, 4, 2)
"""In how many segments a network is tried whose weights take turns, where no number is declared."""


def as_asked(
    spec: TaskSpec,
    backend: Backend,
    compile_streamed: Callable[[Streams, int], CompiledNetwork],
    *,
    room_bytes: int,
) -> CompiledNetwork | None:
    """Return a task's network with as many segments in memory as are asked for.

    ``None`` where that is not possible and the task says ``auto``.

    Args:
        spec: the task; it does not say ``all``.
        backend: what runs it.
        compile_streamed: returns the network in so many segments.
        room_bytes: what it may take where the task says ``auto``.

    Raises:
        Refusal: the number that is declared is not possible.
    """
    declared = 0 if spec.resident is Resident.AUTO else int(spec.resident)
    if not backend.capabilities.streams_weights:
        if not declared:
            return None
        raise Refusal(NotStreamed(spec.name, declared, backend.name, streaming_backends(), ""))
    note = ""
    for parts in (spec.segments,) if spec.segments else STREAMED_SEGMENTS:
        made = compile_streamed(cast("Streams", backend), parts)
        if made.weights:
            return _with_room(made, declared, str(spec.storage), room_bytes)
        note = note or made.note
    if not declared:
        return None
    raise Refusal(NotStreamed(spec.name, declared, backend.name, (), note))


def _with_room(
    made: CompiledNetwork, declared: int, storage: str, room_bytes: int
) -> CompiledNetwork:
    if declared:
        return streamed(made, min(declared, made.segments), storage)
    ways = (streamed(made, count, storage) for count in range(made.segments, 1, -1))
    fitting = (way for way in ways if loaded_footprint(way).total <= room_bytes)
    return next(fitting, streamed(made, 1, storage))


def why_streamed(spec: TaskSpec, compiled: CompiledNetwork) -> WeightsStreamed | None:
    """Return what is in memory and what is loaded; ``None`` where all weights always are there."""
    if not compiled.weights:
        return None
    plan = plan_of(compiled)
    if not plan.streamed:
        return None
    loaded = [plan.segments[index] for index in plan.streamed]
    return WeightsStreamed(
        compiled.segments,
        compiled.resident,
        spec.resident is Resident.AUTO,
        plan.weights,
        sum(each.weights for each in plan.segments),
        sum(each.weights for each in loaded),
        sum(each.load_ns for each in loaded),
        compiled.storage,
    )


def fewer_resident(
    task: str, compiled: CompiledNetwork, fits: Callable[[CompiledNetwork], bool]
) -> tuple[Counterfactual, ...]:
    """Return the largest smaller number of segments in memory for which there is room.

    Args:
        task: its name.
        compiled: its network as asked for, which was perhaps never measured.
        fits: whether there is room for it as it is loaded.
    """
    if not compiled.weights:
        return ()
    for count in range(compiled.resident - 1, 0, -1):
        other = streamed(compiled, count, compiled.storage)
        if fits(other):
            change = ResidentOther(
                task,
                count,
                loaded_footprint(other).total,
                loaded_footprint(compiled).total,
                plan_of(other).total_ns,
                plan_of(compiled).total_ns,
                loads_only=True,
            )
            return (counterfactual(change),)
    return ()


def more_resident(
    candidate: Candidate,
) -> Iterator[tuple[Candidate, AnalysisTask, ResidentOther]]:
    """Yield a candidate with larger numbers of segments in memory, the least first.

    Budgets are estimated: what loading takes by itself is taken off, or added.

    Args:
        candidate: as asked for; yields nothing where its weights do not take turns.

    Yields:
        The candidate, how the tests see it, and the change that makes it.
    """
    compiled = candidate.compiled
    if not compiled.weights:
        return
    before = plan_of(compiled)
    now = candidate.plan
    for count in range(compiled.resident + 1, compiled.segments + 1):
        other = streamed(compiled, count, compiled.storage)
        after = plan_of(other)
        saved = [then - now for now, then in zip(before.budgets_ns, after.budgets_ns, strict=True)]
        budgets = tuple(
            max(1, budget + change) for budget, change in zip(now.budgets_ns, saved, strict=True)
        )
        total_ns = 0
        if now.total_ns:
            total_ns = min(sum(budgets), max(*budgets, now.total_ns + sum(saved)))
        made = replace(
            candidate,
            compiled=other,
            plan=plan_for(candidate.spec, other, budgets, total_ns),
            cut=why_streamed(candidate.spec, other),
        )
        yield (
            made,
            made.analysis_task(),
            ResidentOther(
                candidate.spec.name,
                count if count < compiled.segments else 0,
                made.footprint.total,
                candidate.footprint.total,
                made.work_ns,
                candidate.work_ns,
            ),
        )
