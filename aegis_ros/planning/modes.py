"""What an answer says of tasks that may exceed their budgets, and the bounds in both modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis import AnalysisTask, Assignment, LaneVerdict, ModesVerdict, check_lane
from aegis_ros.analysis.task import by_promise
from aegis_ros.rationale import Rule, Witness
from aegis_ros.spec import Criticality

__all__ = ["Mode", "Modes", "in_high_mode", "in_low_mode", "modes_of", "with_tight_bounds"]


@dataclass(frozen=True, slots=True)
class Mode:
    """The answer in one mode.

    Attributes:
        schedulable: whether everything that counts in it is on time.
        utilization: of the lane, by the budgets and tasks that count in it.
        witness: the interval with the least slack, where the demand test decided.
    """

    schedulable: bool
    utilization: float
    witness: Witness | None


@dataclass(frozen=True, slots=True)
class Modes:
    """Both modes of a lane.

    Attributes:
        low: while every budget is kept.
        high: from when one is exceeded until the lane has been idle once.
        sheds: names that are dropped in high mode, first to go first; empty where nothing is.
        virtual_ns: relative virtual deadlines of low mode, by name.
    """

    low: Mode
    high: Mode
    sheds: tuple[str, ...]
    virtual_ns: Mapping[str, int]


def modes_of(
    found: Assignment, lane: str, tasks: Sequence[AnalysisTask], switch_ns: int
) -> Modes | None:
    """Return both modes of a lane.

    Args:
        found: the answer.
        lane: name.
        tasks: on the lane.
        switch_ns: cost of starting one segment.

    Returns:
        ``None`` where there is one mode only: no task may exceed its budgets, or the policy is not
        EDF, so that high budgets count all the time.
    """
    modes, verdict = found.modes.get(lane), found.verdicts[lane]
    if modes is None:
        return None
    low = check_lane(in_low_mode(tasks, modes.virtual_ns), lane=lane, switch_ns=switch_ns)
    if verdict.schedulable and not modes.sheds:
        in_high = verdict
    elif verdict.schedulable:
        in_high = check_lane(in_high_mode(tasks, modes.virtual_ns), lane=lane, switch_ns=switch_ns)
    else:
        in_high = verdict
    promised, _ = by_promise(tasks)
    counted = promised if verdict.schedulable and not modes.sheds else in_high_mode(tasks, {})
    share = sum(task.at_high().wcet_ns(switch_ns) / task.period_ns for task in counted)
    return Modes(
        Mode(low.schedulable, low.utilization, low.witness),
        Mode(verdict.schedulable, share, in_high.witness),
        modes.sheds,
        modes.virtual_ns,
    )


def in_low_mode(
    tasks: Sequence[AnalysisTask], virtual_ns: Mapping[str, int]
) -> tuple[AnalysisTask, ...]:
    """Return what counts in low mode: everything with low budgets and virtual deadlines."""
    return tuple(
        replace(task.at_low(), deadline_ns=virtual_ns.get(task.name, task.deadline_ns))
        for task in tasks
    )


def in_high_mode(
    tasks: Sequence[AnalysisTask], virtual_ns: Mapping[str, int]
) -> tuple[AnalysisTask, ...]:
    """Return what counts in high mode: high budgets, jitter as long as virtual deadlines."""
    return tuple(
        replace(task.at_high(), jitter_ns=virtual_ns.get(task.name, task.jitter_ns))
        for task in tasks
        if task.criticality is Criticality.HIGH
    )


def with_tight_bounds(
    found: Assignment, tasks: Sequence[AnalysisTask], switch_ns: int
) -> Assignment:
    """Return the assignment with each response bound the smaller of the two that are valid.

    The bound that follows start times is not worth its time in a search for lanes, but is in an
    answer that somebody reads.
    """
    verdicts = dict(found.verdicts)
    for lane, verdict in verdicts.items():
        own = [task for task in tasks if found.lane_of[task.name] == lane]
        if verdict.schedulable and own and verdict.rule in (Rule.DEMAND_BOUND, Rule.MODES):
            modes = found.modes.get(lane)
            verdicts[lane] = _tightened(verdict, own, modes, switch_ns)
    return replace(found, verdicts=verdicts)


def _tightened(
    verdict: LaneVerdict, tasks: Sequence[AnalysisTask], modes: ModesVerdict | None, switch_ns: int
) -> LaneVerdict:
    if modes is None or not modes.virtual_ns:
        tight = _bounds([task.at_high() for task in tasks], switch_ns)
    else:
        tight = _bounds(in_low_mode(tasks, modes.virtual_ns), switch_ns)
        for name, bound_ns in _bounds(in_high_mode(tasks, modes.virtual_ns), switch_ns).items():
            tight[name] = max(tight[name], bound_ns)
    return replace(
        verdict,
        responses=tuple(
            replace(item, bound_ns=min(item.bound_ns, tight.get(item.task, item.bound_ns)))
            for item in verdict.responses
        ),
    )


def _bounds(tasks: Sequence[AnalysisTask], switch_ns: int) -> dict[str, int]:
    verdict = check_lane(tasks, switch_ns=switch_ns, tight=True)
    return {item.task: item.bound_ns for item in verdict.responses}
