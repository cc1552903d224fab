"""Where a task fits beside what runs already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aegis_ros.analysis import AnalysisTask, Assignment, ChainsVerdict, assign
from aegis_ros.analysis.lanes import Budgets
from aegis_ros.analysis.task import by_promise
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.planning.relocation import Move, Relocated, relocate
from aegis_ros.spec import DeviceSpec

__all__ = ["Admitted", "lane_names", "least_slack", "place", "used_before"]


@dataclass(frozen=True, slots=True)
class Admitted:
    """The yes: the lane, and the proof.

    ``decimation`` is n of each task of the lane that takes every n-th frame from now on, where that
    changes for any of them or for the new one; else ``None``. ``moves`` are running tasks that go
    to other lanes before it comes. ``chains`` is the proof of all chains with the new task;
    ``None`` where there are none. ``grown`` are running tasks on other lanes, with the budgets that
    they have beside it. ``generators`` is what those may do beside it. ``unknown`` are running
    tasks whose declared budgets say nothing of it, each with its lane.
    """

    lane: str
    assignment: Assignment
    utilization_before: float
    decimation: Mapping[str, int] | None = None
    moves: tuple[Move, ...] = ()
    chains: ChainsVerdict | None = None
    grown: Mapping[str, Candidate] = field(default_factory=dict)
    generators: tuple[GeneratorAnswer, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()


def least_slack(assignment: Assignment) -> float:
    """Return the least share of a deadline that is left after a worst-case response, on any lane.

    It is what a choice of lanes is good for where tasks slow each other: alone on a lane a task
    waits for nobody, and on the lane of others it slows nobody.
    """
    return min(
        (
            1.0 - each.bound_ns / each.deadline_ns
            for verdict in assignment.verdicts.values()
            for each in verdict.responses
        ),
        default=1.0,
    )


def lane_names(device: DeviceSpec) -> tuple[str, ...]:
    """Return the names of a device's lanes, in their order."""
    return tuple(lane.name for lane in device.lanes)


def place(
    options: Options,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    movable: Budgets,
    *,
    device: DeviceSpec,
    at_rest: bool,
) -> Relocated | None:
    """Return where a task fits beside what runs, moved to other lanes if need be.

    Args:
        options: the new task.
        admitted: for each running task, how the tests see it and its lane.
        movable: of the running tasks that may move, how the tests see them on each lane.
        device: its lanes.
        at_rest: whether no job has been released yet.
    """
    task = options.candidates[0].analysis_task()
    own = {task.name: options.by_lane()}
    switch_ns = device.switch_ns
    found = assign(
        [*(item for item, _ in admitted.values()), task],
        lane_names(device),
        switch_ns=switch_ns,
        fixed={name: lane for name, (_, lane) in admitted.items()},
        budgets=own,
    )
    if found.schedulable:
        return Relocated((), found)
    if not movable or task.best_effort:
        return None  # nobody is moved for what has no promise
    return relocate(
        task,
        admitted,
        lane_names(device),
        budgets={**movable, **own},
        switch_ns=switch_ns,
        at_rest=at_rest,
    )


def used_before(
    admitted: Mapping[str, tuple[AnalysisTask, str]], lane: str, device: DeviceSpec
) -> float:
    """Return how much of a lane is used by what runs there."""
    running = [item for item, where in admitted.values() if where == lane]
    return _utilization(running, device.switch_ns)


def _utilization(tasks: Sequence[AnalysisTask], switch_ns: int) -> float:
    promised, _ = by_promise(tasks)
    return sum(task.wcet_ns(switch_ns) / task.period_ns for task in promised)
