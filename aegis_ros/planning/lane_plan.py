"""Chooses how many lanes a device gets, how it is divided, and who runs on which lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aegis_ros.analysis import Assignment
from aegis_ros.planning.lane_search import Found, best_placement
from aegis_ros.planning.lane_trial import Layout, Tasks, Trial

__all__ = ["Alternative", "LanePlan", "plan_lanes"]

_SAME = 1e-9  # of a deadline: slack that differs by less is the same


@dataclass(frozen=True)
class Alternative:
    """The best that one layout can do.

    Attributes:
        label: names the layout in sentences.
        lanes: names of its lanes.
        found: the placement, and what is known of all others.
        tasks: as they would run.
        proof: the verdict of each lane.
    """

    label: str
    lanes: tuple[str, ...]
    found: Found
    tasks: Tasks
    proof: Assignment


@dataclass(frozen=True)
class LanePlan:
    """What was chosen, and what fell short.

    Attributes:
        alternatives: in the order in which layouts were given.
        chosen: index of the one with the largest least slack; with the least shortfall where no
            layout holds all tasks.
    """

    alternatives: tuple[Alternative, ...]
    chosen: int

    @property
    def best(self) -> Alternative:
        """The chosen one."""
        return self.alternatives[self.chosen]

    @property
    def schedulable(self) -> bool:
        """Whether the chosen one holds all tasks."""
        return self.best.proof.schedulable


def plan_lanes(layouts: Mapping[str, Layout]) -> LanePlan:
    """Return the layout and placement that leave the largest least slack.

    Of layouts that leave the same, the one with the fewest lanes is chosen; of those, the first.

    Args:
        layouts: by label, at least one, all for the same tasks.
    """
    return chosen([_best(label, layout) for label, layout in layouts.items()])


def chosen(alternatives: Sequence[Alternative]) -> LanePlan:
    """Return the plan that takes the best of these."""
    most = max(each.found.slack for each in alternatives)
    same = [
        (len(each.lanes), index)
        for index, each in enumerate(alternatives)
        if each.found.slack == most or most - each.found.slack < _SAME
    ]
    return LanePlan(tuple(alternatives), min(same)[1])


def _best(label: str, layout: Layout) -> Alternative:
    trial = Trial(layout)
    found = best_placement(trial)
    return Alternative(
        label, layout.lanes, found, layout.running(found.lane_of), trial.proof(found.lane_of)
    )
