"""Who could be late on a lane that fails the test."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.analysis import AnalysisTask, LaneVerdict
from aegis_ros.rationale.admission import SlowedTask
from aegis_ros.rationale.verdicts import TaskTooLong
from aegis_ros.spec import Criticality

__all__ = ["late_task"]


def late_task(
    tasks: Sequence[AnalysisTask], verdict: LaneVerdict, slowed: Sequence[SlowedTask] = ()
) -> str:
    """Return the most critical task that is due at the end of the interval that decides.

    Args:
        tasks: of the lane.
        verdict: of the test that it fails.
        slowed: those that take longer than before.

    Returns:
        Its name; where no interval decides, or nobody is due there, that of the one that was slowed
        most, empty for nobody.
    """
    if isinstance(verdict.finding, TaskTooLong):
        return verdict.finding.task
    if verdict.witness is not None:
        t_ns = verdict.witness.t_ns
        due = [
            item
            for item in tasks
            if item.criticality is not Criticality.BEST_EFFORT
            and (past := t_ns - (item.deadline_ns - item.jitter_ns)) >= 0
            and past % item.period_ns == 0
        ]
        if due:
            order = list(Criticality)
            return min(due, key=lambda item: order.index(item.criticality)).name
    most = max(slowed, key=lambda each: each.after_ns / each.before_ns, default=None)
    return "" if most is None else most.task
