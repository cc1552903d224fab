"""The longest step of best effort that a lane bears: how long it may be held at any time.

A step of best effort that takes q blocks everybody, whatever the interval, for ``q - 1``. The test
``h(t) + max(B(t), q - 1) <= t`` therefore passes up to ``q = min over t of (t - h(t)) + 1``, and
fails from one nanosecond more on (Baruah 2005; Bertogna & Baruah 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_ros.analysis.demand import MAX_POINTS, LaneLoad
from aegis_ros.analysis.lane import check_lane, is_schedulable
from aegis_ros.analysis.modes import check_modes, passes_modes
from aegis_ros.analysis.search import smallest
from aegis_ros.analysis.task import AnalysisTask, by_promise
from aegis_ros.rationale import Witness
from aegis_ros.spec import Criticality

__all__ = ["LongestStep", "longest_step"]

_STEP = "a step of best effort"  # no task can have this name


@dataclass(frozen=True, slots=True)
class LongestStep:
    """How long a step of best effort may hold a lane.

    Attributes:
        longest_ns: its time, the switch included; 0 where deadlines do not hold without it.
        task: whose deadline a longer one could break: the densest of those that are due at the end
            of the interval of ``witness``, or of all where none is.
        witness: where the test fails with a step one nanosecond longer; ``None`` where it only
            finds no end within its limits.
    """

    longest_ns: int
    task: str
    witness: Witness | None


def longest_step(
    tasks: Sequence[AnalysisTask], *, lane: str = "main", switch_ns: int = 0
) -> LongestStep | None:
    """Return the longest step of best effort that the promised deadlines of a lane bear.

    It holds for any number of such steps, however often they come: they run only where nothing else
    is ready, so that one of them at most is in the way. Where tasks may exceed their budgets, both
    modes bear it.

    Args:
        tasks: everything on the lane; those of best effort do not matter.
        lane: its name.
        switch_ns: cost of starting one segment.

    Returns:
        ``None`` where no deadline is promised, and a step may take any time.
    """
    promised, _ = by_promise(tasks)
    if not promised:
        return None
    own = [task.switched(switch_ns) for task in promised]
    modes = any(task.high_segments_ns for task in own)
    passes = passes_modes if modes else is_schedulable

    def fails(longest_ns: int) -> bool:
        return not passes([*own, _step(longest_ns)])

    if fails(1):
        refused = 1
    else:
        most = _most_ns([task.at_low() for task in own])
        refused = most + 1 if not fails(most) else smallest(1, most, fails) or most
    failing = [*own, _step(refused)]
    verdict = check_modes(failing, lane=lane).verdict if modes else check_lane(failing, lane=lane)
    witness = verdict.witness
    due = own if witness is None else [task for task in own if _is_due_at(task, witness.t_ns)]
    deciding = max(due or own, key=lambda task: task.density)
    return LongestStep(refused - 1, deciding.name, witness)


def _step(longest_ns: int) -> AnalysisTask:
    return AnalysisTask(_STEP, (longest_ns,), 1, 1, 0, Criticality.BEST_EFFORT)


def _most_ns(tasks: Sequence[AnalysisTask]) -> int:
    """Return the longest step that the first deadlines leave time for: no longer one passes."""
    load = LaneLoad(tasks)
    if load.points_until(load.latest_ns) > MAX_POINTS:
        return int((load.first - load.c).min()) + 1
    curve = load.curve(load.latest_ns)
    return int((curve.t_ns - curve.demand_ns).min()) + 1


def _is_due_at(task: AnalysisTask, t_ns: int) -> bool:
    past = t_ns - task.deadline_ns + task.jitter_ns
    return past >= 0 and past % task.period_ns == 0
