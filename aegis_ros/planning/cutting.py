"""How long others can wait for a segment to end, and so in how many a network must run.

A task due later blocks one due earlier for as long as its longest segment takes (Baruah 2005;
Bertogna & Baruah 2010): for every interval of length t shorter than its own ``D - J``, what is due
within t and that segment must fit into t together. Cutting a network helps nobody but those.
A task of best effort blocks everybody, for every t: where it has to be cut, it is cut finely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aegis_ros.analysis import AnalysisTask, is_schedulable, longest_step
from aegis_ros.analysis.demand import MAX_POINTS, LaneLoad
from aegis_ros.analysis.task import by_promise
from aegis_ros.rationale import Counterfactual
from aegis_ros.rationale.changes import CutOther
from aegis_ros.rationale.wording import counterfactual

__all__ = [
    "SEGMENT_COUNTS",
    "BlockingCheck",
    "Tolerance",
    "advise_cuts",
    "blocking_tolerance",
    "cut_budget",
]

SEGMENT_COUNTS = (2, 4, 8)
# What a cut network takes over the whole, and its longest part over an equal one, in advice.
_OVERHEAD = 0.05
_UNEVEN = 0.25
_ESTIMATED = 0.15  # added to budgets of segments that were not measured


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The longest segment that may begin just before more urgent tasks become ready.

    Attributes:
        longest_ns: its time, the switch included; 0 or less where they leave no time at all.
        task: the more urgent task that decides.
    """

    longest_ns: int
    task: str


@dataclass(frozen=True, slots=True)
class BlockingCheck:
    """One lane as a new task finds it.

    Attributes:
        others: what runs there.
        tolerance: of those, and of what is known to come; ``None`` where nothing is more urgent.
        switch_ns: charged to every segment.
    """

    others: tuple[AnalysisTask, ...]
    tolerance: Tolerance | None
    switch_ns: int

    def tolerates(self) -> tuple[str, int]:
        """Return who decides how long others wait here, and how long that is, nanoseconds."""
        if self.tolerance is None:
            return "nobody", 1 << 62
        return self.tolerance.task, self.tolerance.longest_ns

    def waits(self, task: AnalysisTask) -> bool:
        """Return whether the more urgent tasks can wait for every segment of ``task``."""
        return (
            self.tolerance is None or task.longest_ns(self.switch_ns) <= self.tolerance.longest_ns
        )

    def fits(self, task: AnalysisTask) -> bool:
        """Return whether ``task`` can run here, and those who wait for it can."""
        return self.waits(task) and is_schedulable([*self.others, task], switch_ns=self.switch_ns)


def blocking_tolerance(
    others: Sequence[AnalysisTask], task: AnalysisTask, switch_ns: int = 0
) -> Tolerance | None:
    """Return the longest segment ``task`` may have for the sake of tasks more urgent than it.

    Args:
        others: on the same lane.
        task: due later than some of them, or of best effort and so later than all.
        switch_ns: charged to every segment.

    Returns:
        ``None`` where none of the others is more urgent.
    """
    if task.best_effort:
        borne = longest_step(others, switch_ns=switch_ns)
        return None if borne is None else Tolerance(borne.longest_ns, borne.task)
    own = task.deadline_ns - task.jitter_ns
    promised, _ = by_promise(others)
    urgent = [item for item in promised if item.deadline_ns - item.jitter_ns < own]
    if not urgent:
        return None
    load = LaneLoad(urgent, switch_ns)
    end = own - 1
    if load.points_until(end) > MAX_POINTS or not load.fits(end):
        end = min(end, load.latest_ns)  # the test of the lane has the last word
    curve = load.curve(end)
    slack = curve.t_ns - curve.demand_ns
    tightest = int(np.argmin(slack))
    at = int(curve.t_ns[tightest])
    deciding = max((item for item in urgent if _is_due_at(item, at)), key=lambda item: item.density)
    return Tolerance(int(slack[tightest]) + 1, deciding.name)


def cut_budget(total_ns: int, parts: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Return the budget of the whole as budgets of its segments, by their shares."""
    if len(shares) != parts:
        return (-(-total_ns // parts),) * parts
    return tuple(max(1, -int(-total_ns * share // 1)) for share in shares)


def estimated_budget(whole_ns: int, parts: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Return what segments will take at most, from what the whole takes at most."""
    return cut_budget(round(whole_ns * (1.0 + _ESTIMATED)), parts, shares)


def advise_cuts(
    task: AnalysisTask,
    admitted: Mapping[str, AnalysisTask],
    passes: Callable[[Sequence[AnalysisTask]], bool],
) -> tuple[Counterfactual, ...]:
    """Return the one admitted network whose cutting would admit ``task``, in the fewest segments.

    Args:
        task: the task that was rejected.
        admitted: the tasks that may be cut, by name.
        passes: whether ``task`` is admitted beside these.
    """
    first = task.deadline_ns - task.jitter_ns
    later = [
        item
        for item in admitted.values()
        if item.best_effort or item.deadline_ns - item.jitter_ns > first
    ]
    for blocking in sorted(later, key=lambda item: max(item.segments_ns), reverse=True):
        others = [item for item in admitted.values() if item is not blocking]
        for parts in SEGMENT_COUNTS:
            if not len(blocking.segments_ns) < parts <= blocking.work_ns:
                continue
            cut = _expected_cut(blocking, parts)
            if passes([*others, cut]):
                change = CutOther(task.name, blocking.name, parts, max(cut.segments_ns))
                return (counterfactual(change),)
    return ()


def _expected_cut(task: AnalysisTask, parts: int) -> AnalysisTask:
    """Return a task as cutting its network may leave it: not quite even, and a little longer."""
    total = round(task.work_ns * (1.0 + _OVERHEAD))
    longest = min(total - parts + 1, -(-round(total * (1.0 + _UNEVEN)) // parts))
    each = max(1, -(-(total - longest) // (parts - 1)))
    return replace(task.at_low().by_segments(), segments_ns=(longest, *(each,) * (parts - 1)))


def _is_due_at(task: AnalysisTask, t_ns: int) -> bool:
    past = t_ns - (task.deadline_ns - task.jitter_ns)
    return past >= 0 and past % task.period_ns == 0
