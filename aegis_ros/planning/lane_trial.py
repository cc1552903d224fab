"""Judges placements on the lanes of one layout, by the test that admits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Protocol

from aegis_ros.analysis import AnalysisTask, Assignment, LaneVerdict, check_lane
from aegis_ros.planning.chains import chains_verdict
from aegis_ros.planning.lane_choice import least_slack
from aegis_ros.rationale import Rule

__all__ = ["Layout", "Tasks", "Trial", "slack_of"]

Tasks = Mapping[str, tuple[AnalysisTask, str]]
"""By name, how the tests see a task, and its lane."""

_NONE = -float("inf")


class Layout(Protocol):
    """One way to divide a device into lanes, with what tasks take on them.

    What a task takes depends on where the others are: they slow it from other lanes, and it may be
    cut for those of its own.
    """

    @property
    def lanes(self) -> tuple[str, ...]:
        """Names of the lanes."""
        ...

    @property
    def switch_ns(self) -> int:
        """Cost of starting a segment."""
        ...

    @property
    def follows(self) -> Mapping[str, str]:
        """By name of a task, the one whose results trigger it."""
        ...

    def contracts(self) -> Sequence[AnalysisTask]:
        """Return the tasks with the least they take on any lane."""
        ...

    def lanes_for(self, task: str) -> Sequence[str]:
        """Return the lanes that a task may go to, at least one."""
        ...

    def alike(self, lane: str) -> Hashable:
        """Return a kind: each task takes the same on empty lanes of one kind."""
        ...

    def fits(self, lane_of: Mapping[str, str]) -> bool:
        """Return whether there is memory for the tasks placed so; also for each part of them."""
        ...

    def running(self, lane_of: Mapping[str, str]) -> Tasks:
        """Return the tasks as they would run if these were all."""
        ...

    def least(self, lane_of: Mapping[str, str]) -> Tasks:
        """Return the tasks with the least that they take, whoever joins them.

        Switches are inside the budgets.
        """
        ...


class Trial:
    """What a search asks (:class:`~aegis_ros.planning.lane_search.Asked`), for one layout.

    Args:
        layout: knows budgets.
    """

    def __init__(self, layout: Layout) -> None:
        """Judge nothing yet."""
        self._layout = layout
        order = sorted(layout.contracts(), key=lambda task: (task.best_effort, -task.density))
        self.tasks = tuple(task.name for task in order)
        self._known: dict[tuple[frozenset[AnalysisTask], int], float] = {}

    def lanes_for(self, task: str) -> Sequence[str]:
        """Return the lanes that a task may go to."""
        return self._layout.lanes_for(task)

    def alike(self, lane: str) -> Hashable:
        """Return the kind of a lane."""
        return self._layout.alike(lane)

    def slack(self, lane_of: Mapping[str, str]) -> float:
        """Return the least slack of the tasks placed so; below 0 by how much they fall short."""
        if not self._layout.fits(lane_of):
            return _NONE
        tasks, switch_ns = self._layout.running(lane_of), self._layout.switch_ns
        worst = min((self._of(each, switch_ns) for each in _by_lane(tasks).values()), default=1.0)
        if worst < 0.0 or not self._layout.follows:
            return worst
        return slack_of(self.proof(lane_of))

    def hope(self, lane_of: Mapping[str, str]) -> float:
        """Return what these tasks leave at most, whoever joins them and however they are cut."""
        if not self._layout.fits(lane_of):
            return _NONE
        lanes = _by_lane(self._layout.least(lane_of)).values()
        return min((self._of(each, 0) for each in lanes), default=1.0)

    def proof(self, lane_of: Mapping[str, str]) -> Assignment:
        """Return the verdict of each lane, with the jitter that chains cause."""
        tasks, switch_ns = self._layout.running(lane_of), self._layout.switch_ns
        on = _by_lane(tasks)
        verdicts = {
            lane: check_lane(on.get(lane, []), lane=lane, switch_ns=switch_ns)
            for lane in self._layout.lanes
        }
        passes = all(each.schedulable for each in verdicts.values())
        if passes and self._layout.follows:
            proven = chains_verdict(tasks, self._layout.follows, {}, switch_ns=switch_ns)
            if proven is not None:
                verdicts.update(proven.verdicts)
                passes = proven.schedulable
        return Assignment(passes, dict(lane_of), "largest least slack", verdicts)

    def _of(self, tasks: Iterable[AnalysisTask], switch_ns: int) -> float:
        key = frozenset(tasks), switch_ns
        found = self._known.get(key)
        if found is None:
            verdict = check_lane(sorted(key[0], key=lambda each: each.name), switch_ns=switch_ns)
            found = self._known[key] = _slack(verdict)
        return found


def slack_of(proof: Assignment) -> float:
    """Return the least slack of what was proven; below 0 by how much it falls short."""
    if proof.schedulable:
        return least_slack(proof)
    return min(0.0, *map(_slack, proof.verdicts.values())) or -1.0  # only a chain is late


def _slack(verdict: LaneVerdict) -> float:
    if verdict.schedulable:
        shares = (1.0 - each.bound_ns / each.deadline_ns for each in verdict.responses)
        return min(shares, default=1.0)
    over = (verdict.left - verdict.right) / verdict.right
    if verdict.rule is Rule.UTILIZATION:
        return -1.0 - over  # no deadline is long enough there
    return -min(over, 1.0) if over > 0.0 else -1.0


def _by_lane(tasks: Tasks) -> dict[str, list[AnalysisTask]]:
    found: dict[str, list[AnalysisTask]] = {}
    for task, lane in tasks.values():
        found.setdefault(lane, []).append(task)
    return found
