"""Which tasks of low criticality run at a lower rate so that everything fits, shared fairly.

The elastic task model (Buttazzo, Lipari & Abeni 1998) with whole factors: every n-th frame of a
decimated task becomes a job, so that the tests see n times its period, with its jitter and its
deadline as they are. The test is monotone in every period, which makes both searches below sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from aegis_ros.analysis.lanes import admits
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.spec import Criticality

__all__ = ["decimated", "find_decimation"]

_Fits = Callable[[Mapping[str, int]], bool]


def find_decimation(
    tasks: Sequence[AnalysisTask],
    limits: Mapping[str, int],
    lanes: Sequence[str] = ("main",),
    *,
    switch_ns: int = 0,
    fixed: Mapping[str, str] | None = None,
) -> dict[str, int] | None:
    """Return the least decimation of each task so that all of them pass.

    The shares of frames that tasks keep are max-min fair: first the least level n is found at
    which everything passes with every task decimated to n (or as far as it may be); then tasks are
    given smaller n, level by level and the smallest first, as long as the test passes. No
    task could be given a smaller factor alone, unless it got two levels ahead of one like it.

    Args:
        tasks: all of them.
        limits: by name, how far a task may be decimated; 1 for what is not named.
        lanes: names of the lanes.
        switch_ns: charged to every segment.
        fixed: lanes of tasks that stay there.

    Returns:
        n of each task where it is above 1, by name; empty where everything passes as it is,
        ``None`` where the largest decimation of all is not enough.

    Raises:
        ConfigError: a task that is not of low criticality is to be decimated, or n is below 1.
    """
    may = {task.name: limits.get(task.name, 1) for task in tasks}
    _require_low(tasks, may)
    known: dict[frozenset[AnalysisTask], bool] = {}

    def fits(decimation: Mapping[str, int]) -> bool:
        trial = decimated(tasks, decimation)
        return admits(trial, lanes, switch_ns=switch_ns, fixed=fixed, known=known)

    def at_level(level: int) -> dict[str, int]:
        return {name: min(level, limit) for name, limit in may.items()}

    if fits({}):
        return {}
    fails, passes = 1, max(may.values(), default=1)
    if passes == 1 or not fits(may):
        return None
    while passes - fails > 1:
        middle = (fails + passes) // 2
        if fits(at_level(middle)):
            passes = middle
        else:
            fails = middle
    decimation = _raised(tasks, may, at_level(passes), fits)
    return {name: n for name, n in decimation.items() if n > 1}


def decimated(tasks: Sequence[AnalysisTask], decimation: Mapping[str, int]) -> list[AnalysisTask]:
    """Return the tasks as the tests see them with every n-th frame of some.

    Args:
        tasks: with the periods of their frames.
        decimation: n of each task that has one, by name.
    """
    return [
        replace(task, period_ns=task.period_ns * decimation[task.name])
        if decimation.get(task.name, 1) > 1
        else task
        for task in tasks
    ]


def _raised(
    tasks: Sequence[AnalysisTask], may: Mapping[str, int], decimation: dict[str, int], fits: _Fits
) -> dict[str, int]:
    """Return decimation that pass, none of which could be smaller alone."""
    order = sorted(
        (task for task in tasks if may[task.name] > 1),
        key=lambda task: (task.utilization, task.name),
    )
    alike = {task.name: (replace(task, name=""), may[task.name]) for task in order}
    least = dict.fromkeys(alike.values(), 1)
    stuck: set[str] = set()
    for level in range(max(decimation.values()) - 1, 0, -1):
        waiting = [
            task.name
            for task in order
            if decimation[task.name] == level + 1 and task.name not in stuck
        ]
        while waiting:
            waiting = [name for name in waiting if least[alike[name]] <= level]
            count = _most_at_once(waiting, level, decimation, fits)
            decimation = decimation | dict.fromkeys(waiting[:count], level)
            if count < len(waiting):
                held = waiting[count]
                stuck.add(held)
                least[alike[held]] = level
            waiting = waiting[count + 1 :]
    return decimation


def _most_at_once(
    names: Sequence[str], level: int, decimation: Mapping[str, int], fits: _Fits
) -> int:
    """Return how many of the first of these can go to a level together."""
    if not names or fits({**decimation, **dict.fromkeys(names, level)}):
        return len(names)
    good, bad = 0, len(names)
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits({**decimation, **dict.fromkeys(names[:middle], level)}):
            good = middle
        else:
            bad = middle
    return good


def _require_low(tasks: Sequence[AnalysisTask], may: Mapping[str, int]) -> None:
    for task in tasks:
        limit = may[task.name]
        if limit < 1 or (limit > 1 and task.criticality is not Criticality.LOW):
            raise ConfigError(
                "only a task of low criticality can be decimated",
                where=f"{task.name}.max_decimation",
                value=limit,
                expected="1, or more for criticality low",
            )
