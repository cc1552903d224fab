"""Binds tasks to lanes: partitioned admission."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aegis_ros.analysis.lane import LaneVerdict, is_schedulable
from aegis_ros.analysis.leftover import slack_rates
from aegis_ros.analysis.modes import ModesVerdict, check_modes, passes_modes
from aegis_ros.analysis.policies import PolicyName, check_policy
from aegis_ros.analysis.task import AnalysisTask, by_promise
from aegis_ros.analysis.timetable import TimeTable
from aegis_ros.rationale import Rule

__all__ = ["Assignment", "Budgets", "admits", "assign"]

_EXACT_SEARCH_TASKS = 8
_BEST_FIT_TASKS = 256
_REFUSALS = 64  # of one lane, after which it is left as it is

Budgets = Mapping[str, Mapping[str, AnalysisTask]]
"""By name of a task and of a lane, how the tests see it there; it cannot run on lanes left out."""

_Bins = Mapping[str, Sequence[AnalysisTask]]
_Passes = Callable[[Sequence[AnalysisTask], str], bool]
_Seen = Callable[[AnalysisTask, str], AnalysisTask | None]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which task runs on which lane.

    Attributes:
        schedulable: whether every lane passes.
        lane_of: lane of each task.
        method: how it was found: first fit, best fit, exact search.
        verdicts: answer for each lane.
        policy: the policy the lanes were tested under.
        tables: the static table of each lane that has one.
        modes: what a lane needs at run time where tasks may exceed their budgets under EDF.
    """

    schedulable: bool
    lane_of: dict[str, str]
    method: str
    verdicts: dict[str, LaneVerdict]
    policy: PolicyName = "edf"
    tables: dict[str, TimeTable] = field(default_factory=dict)
    modes: dict[str, ModesVerdict] = field(default_factory=dict)


def assign(
    tasks: Sequence[AnalysisTask],
    lanes: Sequence[str],
    *,
    switch_ns: int = 0,
    fixed: Mapping[str, str] | None = None,
    budgets: Budgets | None = None,
    policy: PolicyName = "edf",
    limit_s: float = 5.0,
) -> Assignment:
    """Find a lane for every task; tasks in ``fixed`` stay where they are.

    First fit by decreasing density, then best fit, then an exact search when few tasks are free.
    Tasks of best effort come last, each to the lane that leaves it most; only where one of them
    makes others late everywhere are all placed together. When nothing passes, the answer shows the
    free tasks on the least used lane. With hundreds of free tasks, a lane that refused 64 of them
    counts as full, and best fit is left out.

    Args:
        tasks: all of them.
        lanes: names of the lanes.
        switch_ns: charged to every segment.
        fixed: lanes of tasks that stay there.
        budgets: of tasks that take different times on different lanes; the others take the same
            on all.
        policy: what orders the jobs of a lane; see :func:`check_policy` for what each promises.
        limit_s: seconds that each search for a static table may take.

    Raises:
        ConfigError: the policy is not known, or what it needs is not installed.
    """
    seen = _seen_by(budgets)
    bins, free = _bound_and_free(tasks, lanes, fixed, seen)
    trial = _Trial(policy, switch_ns, limit_s)
    if len(lanes) == 1:  # there is nothing to search
        lane, bound = next(iter(bins.items()))
        bound.extend(seen(task, lane) or task for task in free)
        answer = trial.answer(bins, "first fit")
        return answer if answer.schedulable else replace(answer, method="none fits")
    found, method = _place(free, bins, trial.passes, seen)
    if found is not None:
        return trial.answer(found, method)
    fallback = {lane: list(bound) for lane, bound in bins.items()}
    for task in free:
        able = [lane for lane in fallback if seen(task, lane) is not None] or list(fallback)
        least = min(able, key=lambda lane: sum(_use(item) for item in fallback[lane]))
        fallback[least].append(seen(task, least) or task)
    return trial.answer(fallback, "none fits")


def admits(
    tasks: Sequence[AnalysisTask],
    lanes: Sequence[str],
    *,
    switch_ns: int = 0,
    fixed: Mapping[str, str] | None = None,
    budgets: Budgets | None = None,
    known: dict[frozenset[AnalysisTask], bool] | None = None,
) -> bool:
    """Return only whether :func:`assign` finds a lane for every task under EDF.

    Args:
        tasks: all of them.
        lanes: names of the lanes.
        switch_ns: charged to every segment.
        fixed: lanes of tasks that stay there.
        budgets: as for :func:`assign`.
        known: answers for lanes so far, which a search over many similar sets hands on.
    """
    trial = _Trial("edf", switch_ns, 0.0)
    answers = {} if known is None else known

    def passes(bound: Sequence[AnalysisTask], lane: str) -> bool:
        key = frozenset(bound)
        found = answers.get(key)
        if found is None:
            found = answers[key] = trial.passes(bound, lane)
        return found

    seen = _seen_by(budgets)
    bins, free = _bound_and_free(tasks, lanes, fixed, seen)
    if len(lanes) == 1:
        lane, bound = next(iter(bins.items()))
        there = [seen(task, lane) for task in free]
        able = [task for task in there if task is not None]
        return len(able) == len(free) and passes([*bound, *able], lane)
    return _place(free, bins, passes, seen)[0] is not None


def _seen_by(budgets: Budgets | None) -> _Seen:
    """Return how a lane sees a task: with its budget there, ``None`` where it cannot run."""
    if not budgets:
        return lambda task, lane: task

    def seen(task: AnalysisTask, lane: str) -> AnalysisTask | None:
        own = budgets.get(task.name)
        return task if own is None else own.get(lane)

    return seen


def _bound_and_free(
    tasks: Sequence[AnalysisTask],
    lanes: Sequence[str],
    fixed: Mapping[str, str] | None,
    seen: _Seen,
) -> tuple[dict[str, list[AnalysisTask]], list[AnalysisTask]]:
    """Return what is bound to each lane, and the others by decreasing density."""
    kept = dict(fixed or {})
    bins: dict[str, list[AnalysisTask]] = {lane: [] for lane in lanes}
    free: list[AnalysisTask] = []
    for task in tasks:
        lane = task.lane or kept.get(task.name, "")
        if lane:
            bins[lane].append(seen(task, lane) or task)
        else:
            free.append(task)
    free.sort(key=lambda task: task.density, reverse=True)
    return bins, free


def _place(
    free: Sequence[AnalysisTask], bins: _Bins, passes: _Passes, seen: _Seen
) -> tuple[dict[str, list[AnalysisTask]] | None, str]:
    """Return lanes that hold everything and how they were found; ``None`` if none were.

    What is of best effort takes nothing from the others but the time they wait for a segment.
    """
    promised, slack = by_promise(free)
    if promised and slack:
        found, method = _place(promised, bins, passes, seen)
        found = None if found is None else _best_left(slack, found, passes, seen)
        if found is not None:
            return found, method
    elif slack:
        found = _best_left(slack, bins, passes, seen)
        return found, "none fits" if found is None else "first fit"
    found = _first_fit(free, bins, passes, seen)
    if found is not None:
        return found, "first fit"
    if len(free) <= _BEST_FIT_TASKS:
        found = _best_fit(free, bins, passes, seen)
        if found is not None:
            return found, "best fit"
    if 1 < len(free) <= _EXACT_SEARCH_TASKS:
        return _search(free, bins, passes, seen), "exact search"
    return None, "none fits"


class _Trial:
    """Tests lanes under one policy, each set of tasks once."""

    def __init__(self, policy: PolicyName, switch_ns: int, limit_s: float) -> None:
        self._policy: PolicyName = policy
        self._switch_ns = switch_ns
        self._limit_s = limit_s
        self._known: dict[tuple[str, ...], tuple[LaneVerdict, TimeTable | None]] = {}

    def passes(self, tasks: Sequence[AnalysisTask], lane: str) -> bool:
        """Return only the answer."""
        if self._policy == "edf" and any(task.high_segments_ns for task in tasks):
            return passes_modes(tasks, switch_ns=self._switch_ns)
        if self._policy == "edf" or not tasks:
            return is_schedulable(tasks, switch_ns=self._switch_ns)
        return self._check(tasks, lane)[0].schedulable

    def answer(self, bins: _Bins, method: str) -> Assignment:
        """Return the verdicts of all lanes."""
        found = {lane: self._check(bound, lane) for lane, bound in bins.items()}
        return Assignment(
            all(verdict.schedulable for verdict, _ in found.values()),
            {task.name: lane for lane, bound in bins.items() for task in bound},
            method,
            {lane: verdict for lane, (verdict, _) in found.items()},
            self._policy,
            {lane: table for lane, (_, table) in found.items() if table is not None},
            {
                lane: check_modes(bound, lane=lane, switch_ns=self._switch_ns)
                for lane, bound in bins.items()
                if self._policy == "edf" and any(task.high_segments_ns for task in bound)
            },
        )

    def _check(
        self, tasks: Sequence[AnalysisTask], lane: str
    ) -> tuple[LaneVerdict, TimeTable | None]:
        key = (lane, *sorted(task.name for task in tasks))
        found = self._known.get(key)
        if found is None:
            found = check_policy(
                tasks,
                policy=self._policy,
                lane=lane,
                switch_ns=self._switch_ns,
                limit_s=self._limit_s,
            )
            self._known[key] = found
            if found[0].rule is Rule.LIMIT:  # all searches together do not take twice the limit
                self._limit_s /= 2.0
        return found


def _first_fit(
    free: Sequence[AnalysisTask], bins: _Bins, passes: _Passes, seen: _Seen
) -> dict[str, list[AnalysisTask]] | None:
    """Fill one lane after the other, each with every task in turn that still fits."""
    filled: dict[str, list[AnalysisTask]] = {}
    rest = list(free)
    for lane, bound in bins.items():
        filled[lane], rest = _fill(bound, rest, lane, passes=passes, seen=seen)
    if not rest and all(passes(bound, lane) for lane, bound in filled.items()):
        return filled
    return None


def _fill(
    bound: Sequence[AnalysisTask],
    free: Sequence[AnalysisTask],
    lane: str,
    *,
    passes: _Passes,
    seen: _Seen,
) -> tuple[list[AnalysisTask], list[AnalysisTask]]:
    """Return what the lane holds in the end, and the tasks that did not fit.

    Runs of tasks that all fit are found by doubling and halving: where a run fits, each shorter
    one does. After many refusals the lane counts as full.
    """
    held = list(bound)
    refused: list[AnalysisTask] = []
    there = [(task, own) for task in free if (own := seen(task, lane)) is not None]
    able = [own for _, own in there]
    at = 0
    while at < len(able) and len(refused) < _REFUSALS:
        left = len(able) - at
        fits, fails, step = 0, left + 1, 1
        while fails - fits > 1:
            if passes([*held, *able[at : at + step]], lane):
                fits = step
                step = min(2 * step, left) if fails > left else (fits + fails) // 2
            else:
                fails = step
                step = (fits + fails) // 2
        held += able[at : at + fits]
        refused += [task for task, _ in there[at + fits : at + fits + 1]]
        at += fits + 1
    rest = [*refused, *(task for task, _ in there[at:])]
    if len(there) < len(free):  # in their order, with those that cannot run here at all
        names = {task.name for task in rest}
        rest = [task for task in free if task.name in names or seen(task, lane) is None]
    return held, rest


def _best_fit(
    free: Sequence[AnalysisTask], bins: _Bins, passes: _Passes, seen: _Seen
) -> dict[str, list[AnalysisTask]] | None:
    """Put each task in turn on the fullest lane where it fits."""
    return _in_turn(
        free,
        bins,
        passes=passes,
        seen=seen,
        worth=lambda task, bound: sum(_use(item) for item in bound),
    )


def _best_left(
    slack: Sequence[AnalysisTask], bins: _Bins, passes: _Passes, seen: _Seen
) -> dict[str, list[AnalysisTask]] | None:
    """Put each task of best effort in turn where it gets the largest part of its frames served."""
    return _in_turn(
        slack,
        bins,
        passes=passes,
        seen=seen,
        worth=lambda task, bound: slack_rates([*bound, task])[-1].share,
    )


def _in_turn(
    tasks: Sequence[AnalysisTask],
    bins: _Bins,
    *,
    passes: _Passes,
    seen: _Seen,
    worth: Callable[[AnalysisTask, Sequence[AnalysisTask]], float],
) -> dict[str, list[AnalysisTask]] | None:
    """Put each task in turn on the lane of most worth, beside what is there, where it fits."""
    filled = {lane: list(bound) for lane, bound in bins.items()}
    for task in tasks:
        able = [(lane, own) for lane in filled if (own := seen(task, lane)) is not None]
        for lane, own in sorted(able, key=lambda item: -worth(item[1], filled[item[0]])):
            if passes([*filled[lane], own], lane):
                filled[lane].append(own)
                break
        else:
            return None
    return filled if all(passes(bound, lane) for lane, bound in filled.items()) else None


def _search(
    free: Sequence[AnalysisTask], bins: _Bins, passes: _Passes, seen: _Seen
) -> dict[str, list[AnalysisTask]] | None:
    if not free:
        return {lane: list(bound) for lane, bound in bins.items()}
    task, rest = free[0], free[1:]
    tried: set[tuple[AnalysisTask | None, ...]] = set()
    for lane, bound in bins.items():
        own = seen(task, lane)
        if own is None:
            continue
        if not bound:  # empty lanes are alike where every task takes the same time on them
            alike = tuple(seen(each, lane) for each in free)
            if alike in tried:
                continue
            tried.add(alike)
        if passes([*bound, own], lane):
            found = _search(rest, {**bins, lane: [*bound, own]}, passes, seen)
            if found is not None:
                return found
    return None


def _use(task: AnalysisTask) -> float:
    return 0.0 if task.best_effort else task.utilization
