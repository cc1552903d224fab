"""Budgets that running jobs exceed: what they would have to be, and whether the tests hold then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis import AnalysisTask, LaneVerdict, check_lane
from aegis_ros.planning.candidate import Candidate
from aegis_ros.planning.contention import at_least
from aegis_ros.planning.early_exit import plan_for
from aegis_ros.planning.late_task import late_task
from aegis_ros.rationale.admission import SeenBudget, SlowedTask

__all__ = ["Exceeded", "Judged", "judge_lane", "with_seen"]


@dataclass(frozen=True, slots=True)
class Exceeded:
    """One job that exceeded a budget, in nanoseconds at nominal speed.

    Attributes:
        segment: index of the segment that ended with it.
        taken_ns: how long that ran.
        used_ns: how long the job had run by then.
    """

    segment: int
    taken_ns: int
    used_ns: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What the tests of a lane say; ``late`` names who could be late, empty for nobody."""

    verdict: LaneVerdict
    late: str
    late_ns: int


def with_seen(candidate: Candidate, seen: Sequence[Exceeded]) -> Candidate:
    """Return a task with budgets that all of these jobs but the longest keep; none is smaller.

    The longest of each segment is left out where there are others: a single stall of the machine
    is for the overrun policy.
    """
    plan = candidate.plan
    parts = list(plan.budgets_ns)
    for segment in {each.segment for each in seen}:
        taken = [each.taken_ns for each in seen if each.segment == segment]
        parts[segment] = max(parts[segment], _all_but_the_longest(taken))
    whole = max(candidate.work_ns, _all_but_the_longest([each.used_ns for each in seen]), *parts)
    total = min(sum(parts), whole) if plan.total_ns else 0
    basis = SeenBudget(len(seen), candidate.work_ns)
    grown = replace(
        candidate, plan=plan_for(candidate.spec, candidate.compiled, tuple(parts), total)
    )
    grown = at_least(grown, candidate)
    return replace(grown, wcet_basis=basis) if grown.plan != plan else candidate


def judge_lane(
    task: str,
    before: Candidate,
    after: Candidate,
    running: Mapping[str, tuple[AnalysisTask, str]],
    *,
    lane: str,
    switch_ns: int,
) -> Judged:
    """Test a lane with a task's larger budgets.

    Args:
        task: its name.
        before: as it is admitted.
        after: with the larger budgets.
        running: how the tests see all tasks then, and their lanes.
        lane: of the task.
        switch_ns: cost of a switch.
    """
    tasks = [item for item, where in running.values() if where == lane]
    verdict = check_lane(tasks, lane=lane, switch_ns=switch_ns)
    if verdict.schedulable:
        return Judged(verdict, "", 0)
    slowed = (SlowedTask(task, lane, before.work_ns, after.work_ns),)
    late_ms = verdict.left - verdict.right if verdict.unit == "ms" else 0.0
    return Judged(verdict, late_task(tasks, verdict, slowed), round(late_ms * 1e6))


def _all_but_the_longest(times_ns: Sequence[int]) -> int:
    return sorted(times_ns)[-2:][0]
