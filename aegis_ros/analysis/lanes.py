"""Binds tasks to lanes: partitioned admission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aegis_ros.analysis.lane import LaneVerdict, check_lane, is_schedulable
from aegis_ros.analysis.task import AnalysisTask

__all__ = ["Assignment", "assign"]

_EXACT_SEARCH_TASKS = 8


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which task runs on which lane.

    Attributes:
        schedulable: whether every lane passes.
        lane_of: lane of each task.
        method: how it was found: first fit, best fit, exact search.
        verdicts: answer for each lane.
    """

    schedulable: bool
    lane_of: dict[str, str]
    method: str
    verdicts: dict[str, LaneVerdict]


def assign(
    tasks: Sequence[AnalysisTask],
    lanes: Sequence[str],
    *,
    switch_ns: int = 0,
    fixed: Mapping[str, str] | None = None,
) -> Assignment:
    """Find a lane for every task; tasks in ``fixed`` stay where they are.

    First fit by decreasing density, then best fit, then an exact search when few tasks are free.
    When nothing passes, the answer shows the free tasks on the least used lane.
    """
    kept = dict(fixed or {})
    bins: dict[str, list[AnalysisTask]] = {lane: [] for lane in lanes}
    free: list[AnalysisTask] = []
    for task in tasks:
        lane = task.lane or kept.get(task.name, "")
        if lane:
            bins[lane].append(task)
        else:
            free.append(task)
    free.sort(key=lambda task: task.density, reverse=True)
    for method, best in (("first fit", False), ("best fit", True)):
        found = _fit(free, bins, switch_ns, best)
        if found is not None:
            return _result(found, method, switch_ns)
    if 1 < len(free) <= _EXACT_SEARCH_TASKS and len(lanes) > 1:
        found = _search(free, bins, switch_ns)
        if found is not None:
            return _result(found, "exact search", switch_ns)
    fallback = {lane: list(bound) for lane, bound in bins.items()}
    for task in free:
        least = min(fallback, key=lambda lane: sum(_use(item) for item in fallback[lane]))
        fallback[least].append(task)
    return _result(fallback, "none fits", switch_ns)


def _fit(
    free: Sequence[AnalysisTask],
    bins: Mapping[str, Sequence[AnalysisTask]],
    switch_ns: int,
    best: bool,
) -> dict[str, list[AnalysisTask]] | None:
    filled = {lane: list(bound) for lane, bound in bins.items()}
    for task in free:
        order = list(filled)
        if best:
            order.sort(key=lambda lane: -sum(_use(item) for item in filled[lane]))
        for lane in order:
            if is_schedulable([*filled[lane], task], switch_ns=switch_ns):
                filled[lane].append(task)
                break
        else:
            return None
    if all(is_schedulable(bound, switch_ns=switch_ns) for bound in filled.values()):
        return filled
    return None


def _search(
    free: Sequence[AnalysisTask], bins: Mapping[str, Sequence[AnalysisTask]], switch_ns: int
) -> dict[str, list[AnalysisTask]] | None:
    if not free:
        return {lane: list(bound) for lane, bound in bins.items()}
    task, rest = free[0], free[1:]
    tried_empty = False
    for lane, bound in bins.items():
        if not bound:
            if tried_empty:  # empty lanes are alike
                continue
            tried_empty = True
        if is_schedulable([*bound, task], switch_ns=switch_ns):
            found = _search(rest, {**bins, lane: [*bound, task]}, switch_ns)
            if found is not None:
                return found
    return None


def _use(task: AnalysisTask) -> float:
    return sum(task.segments_ns) / task.period_ns


def _result(bins: Mapping[str, Sequence[AnalysisTask]], method: str, switch_ns: int) -> Assignment:
    verdicts = {
        lane: check_lane(bound, lane=lane, switch_ns=switch_ns) for lane, bound in bins.items()
    }
    return Assignment(
        all(verdict.schedulable for verdict in verdicts.values()),
        {task.name: lane for lane, bound in bins.items() for task in bound},
        method,
        verdicts,
    )
