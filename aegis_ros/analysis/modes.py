"""Whether tasks of high criticality are on time even when they exceed their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from aegis_ros.analysis.lane import LaneVerdict, check_lane, is_schedulable
from aegis_ros.analysis.task import AnalysisTask, require_unique
from aegis_ros.rationale import ResponseBound, Rule
from aegis_ros.rationale.verdicts import LateInHighMode, ModesHold, NothingToDrop
from aegis_ros.spec import Criticality

__all__ = ["ModesVerdict", "check_modes", "passes_modes"]

_STEPS = 1024  # of the factor on deadlines


@dataclass(frozen=True, slots=True)
class ModesVerdict:
    """The answer for one lane whose tasks may exceed their budgets.

    Attributes:
        verdict: the answer, with the figures of the mode that decided.
        virtual_ns: relative virtual deadline of each task of high criticality, for
            :class:`~aegis_ros.scheduling.VirtualDeadlines`; empty where real ones do.
        sheds: names of the tasks that are dropped when a budget is exceeded, those of best effort
            first; empty where nothing has to be.
    """

    verdict: LaneVerdict
    virtual_ns: dict[str, int] = field(default_factory=dict)
    sheds: tuple[str, ...] = ()


def check_modes(
    tasks: Sequence[AnalysisTask], *, lane: str = "main", switch_ns: int = 0
) -> ModesVerdict:
    """Test a lane in low mode, in high mode and in between.

    In low mode every segment keeps its budget. When a segment of high criticality has exceeded
    it, the lane drops and refuses everything below high criticality as soon as that segment ends
    (Vestal 2007), until it has been idle once; segments stay within their high budgets always.

    Where all tasks pass with their high budgets, nothing is ever dropped. Otherwise tasks of high
    criticality get virtual deadlines V < D in low mode, all shortened by one factor (EDF-VD;
    Baruah et al. 2012), and two demand tests decide:

    - low mode: everything with low budgets, and V for D;
    - high mode: what is of high criticality with high budgets, and release jitter V. When the
      budget is exceeded, at e, low mode has kept its promise so far, so that a job that is not
      finished arrived after ``e - V``: it has ``D - V`` at least until its deadline, exactly like
      a job that is ready V after its arrival, and no more than its whole high budget left.

    Args:
        tasks: everything bound to the lane.
        lane: its name.
        switch_ns: cost of starting one segment.

    Raises:
        ConfigError: two tasks have the same name.
    """
    require_unique(tasks)
    whole = check_lane([task.at_high() for task in tasks], lane=lane, switch_ns=switch_ns)
    if whole.schedulable:
        return ModesVerdict(whole)
    plain = check_lane([task.at_low() for task in tasks], lane=lane, switch_ns=switch_ns)
    if not plain.schedulable:
        return ModesVerdict(plain)
    high = [task for task in tasks if task.criticality is Criticality.HIGH]
    if len(high) == len(tasks):
        return ModesVerdict(replace(whole, finding=NothingToDrop(whole.finding)))
    deadlines = _virtual(high, switch_ns)
    if deadlines is None:
        soonest = _in_high_mode(high, {task.name: _earliest(task, switch_ns) for task in high})
        return ModesVerdict(_no(whole, check_lane(soonest, lane=lane, switch_ns=switch_ns), lane))
    in_low = check_lane(_in_low_mode(tasks, deadlines), lane=lane, switch_ns=switch_ns)
    if not in_low.schedulable:
        return ModesVerdict(_no(whole, in_low, lane))
    in_high = check_lane(_in_high_mode(high, deadlines), lane=lane, switch_ns=switch_ns)
    return ModesVerdict(
        _yes(tasks, in_low, in_high, lane),
        deadlines,
        tuple(
            task.name
            for level in (Criticality.BEST_EFFORT, Criticality.LOW)
            for task in tasks
            if task.criticality is level
        ),
    )


def passes_modes(tasks: Sequence[AnalysisTask], *, switch_ns: int = 0) -> bool:
    """Return only the answer of :func:`check_modes`, which is what a search needs."""
    if is_schedulable([task.at_high() for task in tasks], switch_ns=switch_ns):
        return True
    if not is_schedulable([task.at_low() for task in tasks], switch_ns=switch_ns):
        return False
    high = [task for task in tasks if task.criticality is Criticality.HIGH]
    if len(high) == len(tasks):
        return False
    deadlines = _virtual(high, switch_ns)
    return deadlines is not None and is_schedulable(
        _in_low_mode(tasks, deadlines), switch_ns=switch_ns
    )


def _earliest(task: AnalysisTask, switch_ns: int) -> int:
    """Return the least virtual deadline that low mode can keep."""
    return task.wcet_ns(switch_ns) + task.jitter_ns


def _latest(task: AnalysisTask, switch_ns: int) -> int:
    """Return the largest virtual deadline that high mode can bear."""
    return task.deadline_ns - task.at_high().wcet_ns(switch_ns)


def _virtual(high: Sequence[AnalysisTask], switch_ns: int) -> dict[str, int] | None:
    """Return the longest virtual deadlines that high mode bears; ``None`` if it bears none."""
    bounds = [
        (task.name, task.deadline_ns, _earliest(task, switch_ns), _latest(task, switch_ns))
        for task in high
    ]
    if any(least > most for _, _, least, most in bounds):
        return None

    def virtual(step: int) -> dict[str, int]:
        return {
            name: max(least, min(most, deadline * step // _STEPS))
            for name, deadline, least, most in bounds
        }

    def passes(step: int) -> bool:
        return is_schedulable(_in_high_mode(high, virtual(step)), switch_ns=switch_ns)

    if not passes(0):
        return None
    passing, failing = 0, _STEPS + 1
    while failing - passing > 1:
        middle = (failing + passing) // 2
        if passes(middle):
            passing = middle
        else:
            failing = middle
    return virtual(passing)


def _in_low_mode(tasks: Sequence[AnalysisTask], deadlines_ns: dict[str, int]) -> list[AnalysisTask]:
    return [
        replace(task.at_low(), deadline_ns=deadlines_ns.get(task.name, task.deadline_ns))
        for task in tasks
    ]


def _in_high_mode(high: Sequence[AnalysisTask], jitters_ns: dict[str, int]) -> list[AnalysisTask]:
    return [replace(task.at_high(), jitter_ns=jitters_ns[task.name]) for task in high]


def _no(whole: LaneVerdict, failed: LaneVerdict, lane: str) -> LaneVerdict:
    deciding = whole if failed.schedulable else failed
    return replace(
        deciding,
        rule=Rule.MODES if deciding.rule is Rule.DEMAND_BOUND else deciding.rule,
        finding=LateInHighMode(lane, deciding.finding),
    )


def _yes(
    tasks: Sequence[AnalysisTask], in_low: LaneVerdict, in_high: LaneVerdict, lane: str
) -> LaneVerdict:
    after = {bound.task: bound.bound_ns for bound in in_high.responses}
    low = {bound.task: bound.bound_ns for bound in in_low.responses}
    tighter = min(
        (in_low, in_high),
        key=lambda verdict: 0 if verdict.witness is None else verdict.witness.slack_ns,
    )
    return replace(
        tighter,
        rule=Rule.MODES,
        utilization=in_low.utilization,
        responses=tuple(
            ResponseBound(
                task.name, lane, max(low[task.name], after.get(task.name, 0)), task.deadline_ns
            )
            for task in tasks
            if task.name in low
        ),
        finding=ModesHold(lane),
        slack=in_low.slack,
    )
