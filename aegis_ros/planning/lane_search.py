"""Searches the placement of tasks on lanes that leaves the largest least slack.

Exact for a dozen tasks: branch and bound over whole placements, whose leaves are judged by the
test that admits. A solver of linear constraints would have to be told one placement after the
other by the same test, since a response bound is no sum over the tasks of a lane, and a budget
depends on who is on the other lanes. Beyond, a greedy placement is improved step by step, and the
exact search of the hardest tasks alone says how much more any placement could leave at most.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

__all__ = ["EXACT_TASKS", "Asked", "Found", "best_placement"]

EXACT_TASKS = 12
"""Up to here the search is exact."""

_STEPS = 20_000  # placements a search looks at, some tens of seconds at the worst
_NONE = -float("inf")

LaneOf = Mapping[str, str]


class Asked(Protocol):
    """What the search asks about a placement, which may still lack tasks.

    Slack is a share of a deadline; negative where the tasks are not in time.
    """

    @property
    def tasks(self) -> Sequence[str]:
        """Names of all tasks, the hardest to place first."""
        ...

    def lanes_for(self, task: str) -> Sequence[str]:
        """Return the lanes that a task may go to, at least one."""
        ...

    def alike(self, lane: str) -> Hashable:
        """Return a kind: empty lanes of one kind are as good as each other."""
        ...

    def slack(self, lane_of: LaneOf) -> float:
        """Return the proven least slack of the tasks that are placed."""
        ...

    def hope(self, lane_of: LaneOf) -> float:
        """Return what no placement that contains this one leaves more than."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The best placement that was found.

    Attributes:
        lane_of: lane of each task.
        slack: its least slack; negative where it is not in time.
        most: no placement leaves more; negative where none is in time.
        method: how it was found, in words.
    """

    lane_of: Mapping[str, str]
    slack: float
    most: float
    method: str

    @property
    def gap(self) -> float:
        """How much more slack another placement could leave, at most; 0 for the best one."""
        return max(0.0, self.most - max(0.0, self.slack))


def best_placement(asked: Asked, *, exact_tasks: int = EXACT_TASKS, steps: int = _STEPS) -> Found:
    """Return the placement of all tasks with the largest least slack.

    Args:
        asked: judges placements.
        exact_tasks: with more tasks, the search is a heuristic.
        steps: placements to look at; where they do not suffice, the gap is not 0.
    """
    names = tuple(asked.tasks)
    start = _improved(asked, _greedy(asked, names), steps)
    value = asked.slack(start)
    if len(names) <= exact_tasks:
        search = _Search(asked, names, asked.slack, steps)
        search.run(start, value)
        return Found(search.best, search.value, search.most, "exact search")
    search = _Search(asked, names[:exact_tasks], asked.hope, steps)
    search.run({}, value)
    return Found(start, value, search.most, "heuristic")


class _Search:
    """Branch and bound: a part of a placement is left where nothing better can become of it.

    Attributes:
        best: the best placement so far.
        value: of that.
        most: no placement is worth more.
    """

    def __init__(
        self,
        asked: Asked,
        names: Sequence[str],
        worth: Callable[[LaneOf], float],
        steps: int,
    ) -> None:
        """Search placements of these tasks, each worth so much."""
        self._asked = asked
        self._names = names
        self._worth = worth
        self._left = steps
        self.best: LaneOf = {}
        self.value = _NONE
        self.most = _NONE

    def run(self, best: LaneOf, value: float) -> None:
        """Search for something better than what is known."""
        self.best, self.value = best, value
        self._descend({})
        self.most = max(self.most, self.value)

    def _descend(self, placed: dict[str, str]) -> None:
        if len(placed) == len(self._names):
            value = self._worth(placed)
            if value > self.value:
                self.best, self.value = placed, value
            return
        hopes = []
        for more in self._with_next(placed):
            self._left -= 1
            hope = self._asked.hope(more)
            if hope >= 0.0:
                hopes.append((hope, more))
        for hope, more in sorted(hopes, key=lambda item: -item[0]):
            if hope <= self.value:
                return
            if self._left <= 0:
                self.most = max(self.most, hope)
                return
            self._descend(more)

    def _with_next(self, placed: dict[str, str]) -> Iterator[dict[str, str]]:
        """Yield the placement with the next task on each lane; empty lanes of a kind once."""
        task = self._names[len(placed)]
        taken, tried = set(placed.values()), set()
        for lane in self._asked.lanes_for(task):
            if lane not in taken:
                kind = self._asked.alike(lane)
                if kind in tried:
                    continue
                tried.add(kind)
            yield {**placed, task: lane}


def _greedy(asked: Asked, names: Sequence[str]) -> dict[str, str]:
    """Put each task in turn where the least slack of all that are placed is largest."""
    placed: dict[str, str] = {}
    for task in names:
        placed[task] = max(
            asked.lanes_for(task), key=lambda lane: asked.slack({**placed, task: lane})
        )
    return placed


def _improved(asked: Asked, placed: dict[str, str], steps: int) -> dict[str, str]:
    """Move single tasks, then swap two, as long as the least slack grows."""
    value = asked.slack(placed)
    better = True
    while better:
        better = False
        for other in _neighbours(asked, placed):
            steps -= 1
            if steps < 0:
                return placed
            if (own := asked.slack(other)) > value:
                placed, value, better = other, own, True
                break
    return placed


def _neighbours(asked: Asked, placed: dict[str, str]) -> Iterator[dict[str, str]]:
    for task, lane in placed.items():
        for other in asked.lanes_for(task):
            if other != lane:
                yield {**placed, task: other}
    for first, second in combinations(placed, 2):
        one, two = placed[first], placed[second]
        if one != two and two in asked.lanes_for(first) and one in asked.lanes_for(second):
            yield {**placed, first: two, second: one}
