"""Which tasks of low criticality run at a lower rate so that everything fits, shared fairly.

The elastic task model (Buttazzo, Lipari & Abeni 1998) with whole factors: of a task that is thinned
every n-th frame becomes a job, so that the tests see n times its period, with its jitter and its
deadline as they are. The test is monotone in every period, which makes both searches below sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from aegis_ros.analysis.lanes import admits
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.spec import Criticality

__all__ = ["thin", "thinned"]

_Fits = Callable[[Mapping[str, int]], bool]


def thin(
    tasks: Sequence[AnalysisTask],
    most: Mapping[str, int],
    lanes: Sequence[str] = ("main",),
    *,
    switch_ns: int = 0,
    fixed: Mapping[str, str] | None = None,
) -> dict[str, int] | None:
    """Return by how much to thin each task so that all of them pass.

    The shares of frames that tasks keep are max-min fair: first the least level n is found at
    which everything passes with every task thinned to n (or as far as it may be); then tasks are
    given smaller factors, level by level and the smallest first, as long as the test passes. No
    task could be given a smaller factor alone, unless it got two levels ahead of one like it.

    Args:
        tasks: all of them.
        most: by name, how far a task may be thinned; 1 for what is not named.
        lanes: names of the lanes.
        switch_ns: charged to every segment.
        fixed: lanes of tasks that stay there.

    Returns:
        The factors above 1, by name; empty where everything passes as it is, ``None`` where
        thinning all as far as it goes is not enough.

    Raises:
        ConfigError: a task that is not of low criticality is to be thinned, or a factor is below 1.
    """
    may = {task.name: most.get(task.name, 1) for task in tasks}
    _require_low(tasks, may)
    known: dict[frozenset[AnalysisTask], bool] = {}

    def fits(factors: Mapping[str, int]) -> bool:
        trial = thinned(tasks, factors)
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
    factors = _raised(tasks, may, at_level(passes), fits)
    return {name: factor for name, factor in factors.items() if factor > 1}


def thinned(tasks: Sequence[AnalysisTask], factors: Mapping[str, int]) -> list[AnalysisTask]:
    """Return the tasks as the tests see them with every n-th frame of some.

    Args:
        tasks: with the periods of their frames.
        factors: n of each task that has one, by name.
    """
    return [
        replace(task, period_ns=task.period_ns * factors[task.name])
        if factors.get(task.name, 1) > 1
        else task
        for task in tasks
    ]


def _raised(
    tasks: Sequence[AnalysisTask], may: Mapping[str, int], factors: dict[str, int], fits: _Fits
) -> dict[str, int]:
    """Return factors that pass, none of which could be smaller alone."""
    order = sorted(
        (task for task in tasks if may[task.name] > 1),
        key=lambda task: (task.utilization, task.name),
    )
    alike = {task.name: (replace(task, name=""), may[task.name]) for task in order}
    least = dict.fromkeys(alike.values(), 1)
    stuck: set[str] = set()
    for level in range(max(factors.values()) - 1, 0, -1):
        waiting = [
            task.name
            for task in order
            if factors[task.name] == level + 1 and task.name not in stuck
        ]
        while waiting:
            waiting = [name for name in waiting if least[alike[name]] <= level]
            count = _most_at_once(waiting, level, factors, fits)
            factors = factors | dict.fromkeys(waiting[:count], level)
            if count < len(waiting):
                held = waiting[count]
                stuck.add(held)
                least[alike[held]] = level
            waiting = waiting[count + 1 :]
    return factors


def _most_at_once(names: Sequence[str], level: int, factors: Mapping[str, int], fits: _Fits) -> int:
    """Return how many of the first of these can go to a level together."""
    if not names or fits({**factors, **dict.fromkeys(names, level)}):
        return len(names)
    good, bad = 0, len(names)
    while bad - good > 1:
        middle = (good + bad) // 2
        if fits({**factors, **dict.fromkeys(names[:middle], level)}):
            good = middle
        else:
            bad = middle
    return good


def _require_low(tasks: Sequence[AnalysisTask], may: Mapping[str, int]) -> None:
    for task in tasks:
        limit = may[task.name]
        if limit < 1 or (limit > 1 and task.criticality is not Criticality.LOW):
            raise ConfigError(
                "only a task of low criticality can be thinned",
                where=f"{task.name}.thin_to",
                value=limit,
                expected="1, or more for criticality low",
            )
