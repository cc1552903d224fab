"""Says of each way to divide a device what it would do for the tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aegis_ros.planning.lane_plan import Alternative, LanePlan
from aegis_ros.planning.late_task import late_task
from aegis_ros.rationale import Rule
from aegis_ros.rationale.lanes import LaneAlternative, LanePlace, LanesChosen

__all__ = ["alternative_of", "lanes_chosen"]


def lanes_chosen(
    plan: LanePlan,
    *,
    unmeasured: Sequence[LaneAlternative] = (),
    assumed: Mapping[str, int] | None = None,
    slowdown: float = 1.0,
) -> LanesChosen:
    """Return the decision with its alternatives.

    Args:
        plan: what was chosen, and what fell short.
        unmeasured: what could not be looked at.
        assumed: by label, how many slowdowns had to be assumed.
        slowdown: how large they were assumed to be.
    """
    all_of_them = [
        alternative_of(each, (assumed or {}).get(each.label, 0)) for each in plan.alternatives
    ]
    best = plan.best
    places = tuple(
        LanePlace(lane, tuple(name for name, at in best.found.lane_of.items() if at == lane))
        for lane in best.lanes
    )
    chosen = all_of_them.pop(plan.chosen)
    return LanesChosen(chosen, (*all_of_them, *unmeasured), places, slowdown)


def alternative_of(item: Alternative, assumed: int = 0) -> LaneAlternative:
    """Return what a layout does for the tasks, as data.

    Args:
        item: the best that it can do.
        assumed: how many slowdowns that rests on.
    """
    short = [each for each in item.proof.verdicts.values() if not each.schedulable]
    made = LaneAlternative(
        item.label, len(item.lanes), item.found.slack, gap=item.found.gap, assumed=assumed
    )
    if item.found.slack == -float("inf"):
        return replace(made, slack=-1.0, memory=True)
    if item.proof.schedulable:
        return replace(made, task=_tightest(item))
    if not short:
        return made  # a chain is late, and no lane
    verdict = max(short, key=lambda each: (each.left - each.right) / each.right)
    if verdict.rule is Rule.UTILIZATION:
        return replace(made, utilization=verdict.utilization)
    if verdict.unit != "ms":
        return made
    return replace(
        made,
        task=late_task(
            [task for task, lane in item.tasks.values() if lane == verdict.lane], verdict
        ),
        late_ns=round((verdict.left - verdict.right) * 1e6),
    )


def _tightest(item: Alternative) -> str:
    """Return who has the least slack; empty where nobody has a deadline."""
    bounds = [each for verdict in item.proof.verdicts.values() for each in verdict.responses]
    least = max(bounds, key=lambda each: each.bound_ns / each.deadline_ns, default=None)
    return "" if least is None else least.task
