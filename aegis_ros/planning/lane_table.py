"""A layout whose budgets are written down, with how much tasks slow each other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from aegis_ros.analysis import AnalysisTask
from aegis_ros.analysis.lanes import Budgets
from aegis_ros.planning.lane_trial import Tasks

__all__ = ["TableLayout"]


@dataclass(frozen=True)
class TableLayout:
    """Tasks with a budget for each lane; nothing is cut.

    Attributes:
        lanes: names of the lanes.
        budgets: by task and lane, how the tests see a task where other lanes are idle.
        slowdown: by what factor the first task takes longer while the second runs on another
            lane. With tasks on several other lanes, the largest of each lane are multiplied.
        switch_ns: cost of starting a segment.
        follows: by name of a task, the one whose results trigger it.
        kinds: of lanes that differ; lanes that are left out are alike.
    """

    lanes: tuple[str, ...]
    budgets: Budgets
    slowdown: Callable[[str, str], Fraction] = lambda task, other: Fraction(1)
    switch_ns: int = 0
    follows: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, Hashable] = field(default_factory=dict)

    def contracts(self) -> Sequence[AnalysisTask]:
        """Return the tasks with the least they take on any lane."""
        return [
            min(there.values(), key=lambda each: each.work_ns) for there in self.budgets.values()
        ]

    def lanes_for(self, task: str) -> Sequence[str]:
        """Return the lanes that a task has a budget for."""
        own = self.budgets[task]
        return [lane for lane in self.lanes if lane in own and own[lane].lane in ("", lane)]

    def alike(self, lane: str) -> Hashable:
        """Return the kind of a lane."""
        return self.kinds.get(lane)

    def fits(self, lane_of: Mapping[str, str]) -> bool:
        """Memory is not asked for here."""
        return True

    def running(self, lane_of: Mapping[str, str]) -> Tasks:
        """Return the tasks with their budgets beside each other."""
        return {name: (self._beside(name, lane_of), lane) for name, lane in lane_of.items()}

    def least(self, lane_of: Mapping[str, str]) -> Tasks:
        """Return the same with switches inside: who joins can only slow them."""
        return {
            name: (self._beside(name, lane_of).switched(self.switch_ns), lane)
            for name, lane in lane_of.items()
        }

    def _beside(self, name: str, lane_of: Mapping[str, str]) -> AnalysisTask:
        task = self.budgets[name][lane_of[name]]
        worst: dict[str, Fraction] = {}
        for other, lane in lane_of.items():
            if lane != lane_of[name]:
                worst[lane] = max(worst.get(lane, Fraction(1)), self.slowdown(name, other))
        factor = Fraction(1)
        for each in worst.values():
            factor *= each
        return task if factor == 1 else task.scaled(lambda part: -int(-part * factor // 1))
