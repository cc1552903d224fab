"""What may change on a lane that runs: when capacity is free, what is shed when it shrinks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from math import ceil

from aegis_ros.analysis.demand import LaneLoad
from aegis_ros.analysis.lane import is_schedulable
from aegis_ros.analysis.modes import passes_modes
from aegis_ros.analysis.task import AnalysisTask, require_unique
from aegis_ros.errors import ConfigError
from aegis_ros.spec import Criticality

__all__ = ["restorable", "safe_removal_ns", "shed_order"]

_LEVEL = {Criticality.HIGH: 0, Criticality.LOW: 1, Criticality.BEST_EFFORT: 2}


def safe_removal_ns(
    tasks: Sequence[AnalysisTask],
    removed_at_ns: int,
    *,
    idle_at_ns: int | None = None,
    switch_ns: int = 0,
) -> int | None:
    """Return from when on the capacity of a task that was removed may be given to another.

    That is the first instant after the removal at which nothing on the lane is pending: whatever
    runs later is a fresh start of the tasks that are then there, and the test of those alone
    counts. Such an instant comes within the longest busy interval of all of them. The last
    deadline of the jobs already released is not enough: with deadlines below periods, they can
    have left others so late that a newcomer makes them miss. What is of best effort does not count
    as pending, however much of it waits: it has done all the harm it can when its segment ends.

    A task may be added without waiting when the test passes for it together with everything that
    was there, removed or not.

    Args:
        tasks: everything on the lane before the removal, the removed task included.
        removed_at_ns: from when on the task releases nothing more.
        idle_at_ns: an instant since at which nothing was pending, if one was seen.
        switch_ns: cost of starting one segment.

    Returns:
        ``None`` when no such instant is certain (the lane may never be idle) and none was seen.
    """
    if idle_at_ns is not None and idle_at_ns >= removed_at_ns:
        return idle_at_ns
    if not tasks:
        return removed_at_ns
    if all(task.best_effort for task in tasks):
        return removed_at_ns + max(task.longest_ns(switch_ns) for task in tasks)
    load = LaneLoad([task.at_high() for task in tasks], switch_ns)
    # Its segment may just have begun, and is over before anybody can count on the lane.
    busy = load.busy_period_ns(load.floor_ns + 1 if load.background is not None else 0)
    return None if busy is None else removed_at_ns + busy


def shed_order(
    tasks: Sequence[AnalysisTask], factor: float, *, switch_ns: int = 0
) -> tuple[str, ...]:
    """Return which tasks of a lane to shed while the device runs slower, first to go first.

    Every budget and switch cost becomes C / f. Tasks are kept in the order of criticality, within
    a level the smallest first, as long as the test passes; so nothing is shed that would fit
    beside all that matters at least as much and was kept before it. Best effort goes first, then
    low, then high. It is safe at once: whatever was released before has no larger budgets.

    Args:
        tasks: everything on one lane.
        factor: speed of the device, 0 < f <= 1 of what the budgets were measured at.
        switch_ns: cost of starting one segment.

    Raises:
        ConfigError: the factor is out of range, or two tasks have the same name.
    """
    if not 0.0 < factor <= 1.0:
        raise ConfigError(
            "the speed of the device is out of range",
            where="factor",
            value=factor,
            expected="above 0, at most 1",
        )
    require_unique(tasks)
    speed = Fraction(factor)
    slower = {task.name: task.scaled(lambda part: ceil(part / speed)) for task in tasks}
    switch = ceil(switch_ns / speed)
    order = sorted(tasks, key=lambda task: (_LEVEL[task.criticality], task.utilization))
    kept: list[AnalysisTask] = []
    for task in order:
        trial = [*kept, slower[task.name]]
        if _passes(trial, switch):
            kept = trial
    names = {task.name for task in kept}
    return tuple(task.name for task in reversed(order) if task.name not in names)


def restorable(
    tasks: Sequence[AnalysisTask],
    shed: Collection[str],
    factor: float,
    *,
    margin: float = 0.05,
    switch_ns: int = 0,
) -> tuple[str, ...]:
    """Return which of the tasks that were shed may come back, first to come first.

    What would have to be shed again if the device became slower by the margin stays away, so
    that tasks do not come and go. A task that comes back does so like one that is added after a
    removal: see :func:`safe_removal_ns`.

    Args:
        tasks: everything that belongs on the lane, shed or not.
        shed: names of the tasks that are shed now.
        factor: present speed of the device.
        margin: share of the speed that has to be in reserve.
        switch_ns: cost of starting one segment.

    Raises:
        ConfigError: the factor is out of range, or two tasks have the same name.
    """
    away = shed_order(tasks, factor * (1.0 - margin), switch_ns=switch_ns)
    back = [task for task in tasks if task.name in shed and task.name not in away]
    back.sort(key=lambda task: (_LEVEL[task.criticality], task.utilization))
    return tuple(task.name for task in back)


def _passes(tasks: Sequence[AnalysisTask], switch_ns: int) -> bool:
    if any(task.high_segments_ns for task in tasks):
        return passes_modes(tasks, switch_ns=switch_ns)
    return is_schedulable(tasks, switch_ns=switch_ns)
