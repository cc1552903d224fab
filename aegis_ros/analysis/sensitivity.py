"""What would have to change for a rejected task to pass: verified counterfactuals.

Every search is a bisection on the test itself, which is monotone in each of the numbers, and every
answer is rounded to the safe side and tested once more before it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from aegis_ros.analysis.lanes import admits
from aegis_ros.analysis.search import smallest
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.changes import (
    BudgetSmaller,
    CutTask,
    DeadlineExtended,
    DropTask,
    DropTasks,
    PeriodLonger,
)
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.spec import Criticality

__all__ = ["counterfactuals"]

_GRAIN_NS = 100_000  # answers are given in tenths of a millisecond
_SINGLE_TRIALS = 64
_RANK = {Criticality.BEST_EFFORT: 0, Criticality.LOW: 1, Criticality.HIGH: 2}

_Passes = Callable[[AnalysisTask], bool]


def counterfactuals(
    tasks: Sequence[AnalysisTask],
    candidate: str,
    lanes: Sequence[str],
    *,
    switch_ns: int = 0,
    fixed: Mapping[str, str] | None = None,
    reserve_ns: int = 0,
    limit: int = 6,
) -> tuple[Counterfactual, ...]:
    """Return changes, each enough by itself, that admit ``candidate`` beside the other tasks.

    Args:
        tasks: all tasks, the candidate included.
        candidate: name of the task that was rejected.
        lanes: names of all lanes.
        switch_ns: charged to every segment.
        fixed: lanes of the tasks that run already.
        reserve_ns: what was taken from the candidate's declared deadline before the test (the time
            kept for publishing); a declared deadline that equals the period moves with it.
        limit: how many answers at most.
    """
    task = next(item for item in tasks if item.name == candidate)
    others = [item for item in tasks if item.name != candidate]
    known: dict[frozenset[AnalysisTask], bool] = {}

    def passes_with(changed: AnalysisTask | None, kept: Sequence[AnalysisTask]) -> bool:
        trial = [*kept] if changed is None else [*kept, changed]
        return admits(trial, lanes, switch_ns=switch_ns, fixed=fixed, known=known)

    def passes(changed: AnalysisTask) -> bool:
        return passes_with(changed, others)

    if not passes_with(None, others):
        return ()
    found = [
        _longer_period(task, reserve_ns, passes),
        _longer_deadline(task, passes),
        _smaller_budget(task, passes),
        _split(task, passes),
        *_without(task, others, lambda kept: passes_with(task, kept)),
    ]
    return tuple(item for item in found if item is not None)[:limit]


def _longer_period(task: AnalysisTask, reserve_ns: int, passes: _Passes) -> Counterfactual | None:
    implicit = task.deadline_ns + reserve_ns == task.period_ns

    def changed(grains: int) -> AnalysisTask:
        period = grains * _GRAIN_NS
        deadline = period - reserve_ns if implicit else task.deadline_ns
        return replace(task, period_ns=period, deadline_ns=deadline)

    low = task.period_ns // _GRAIN_NS
    grains = smallest(low, low * 64 + 64, lambda value: passes(changed(value)))
    if grains is None:
        return None
    return counterfactual(
        PeriodLonger(task.name, grains * _GRAIN_NS, task.period_ns, with_deadline=implicit)
    )


def _longer_deadline(task: AnalysisTask, passes: _Passes) -> Counterfactual | None:
    low = task.deadline_ns // _GRAIN_NS
    grains = smallest(
        low, low * 16 + 16, lambda value: passes(replace(task, deadline_ns=value * _GRAIN_NS))
    )
    if grains is None:
        return None
    deadline_ns = grains * _GRAIN_NS
    return counterfactual(
        DeadlineExtended(task.name, deadline_ns, more_ns=deadline_ns - task.deadline_ns)
    )


def _smaller_budget(task: AnalysisTask, passes: _Passes) -> Counterfactual | None:
    total = task.work_ns

    def changed(saved: int) -> AnalysisTask:
        left = total - saved * _GRAIN_NS
        scaled = tuple(max(1, part * left // total) for part in task.segments_ns)
        if not task.total_ns:
            return replace(task, segments_ns=scaled)
        return replace(task, segments_ns=scaled, total_ns=min(sum(scaled), max(left, *scaled)))

    most = (total - 1) // _GRAIN_NS
    if most < 1:
        return None
    saved = smallest(0, most, lambda value: passes(changed(value)))
    if saved is None:
        return None
    return counterfactual(BudgetSmaller(task.name, total - saved * _GRAIN_NS, total))


def _split(task: AnalysisTask, passes: _Passes) -> Counterfactual | None:
    for parts in (2, 4, 8, 16):
        if parts <= len(task.segments_ns):
            continue
        pieces = task.cut(parts)
        if passes(pieces):
            return counterfactual(CutTask(task.name, parts, pieces.segments_ns[0]))
    return None


def _without(
    task: AnalysisTask,
    others: Sequence[AnalysisTask],
    passes: Callable[[Sequence[AnalysisTask]], bool],
) -> list[Counterfactual]:
    """Return the single task, or else the few least critical ones, whose removal is enough."""
    order = sorted(
        others,
        key=lambda item: (_RANK[item.criticality], item.utilization),
    )
    for item in order[:_SINGLE_TRIALS]:
        if passes([other for other in others if other is not item]):
            return [counterfactual(DropTask(task.name, item.name, str(item.criticality)))]

    def passes_without(dropped: Sequence[AnalysisTask]) -> bool:
        names = {item.name for item in dropped}
        return passes([other for other in others if other.name not in names])

    count = smallest(0, len(order), lambda few: passes_without(order[:few]))
    if count is None:
        return []
    dropped = order[:count]
    if count <= _SINGLE_TRIALS:
        needed = [
            each
            for each in dropped
            if not passes_without([item for item in dropped if item is not each])
        ]
        if passes_without(needed):
            dropped = needed
    return [counterfactual(DropTasks(task.name, tuple(item.name for item in dropped)))]
