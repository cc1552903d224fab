"""Which running task could go to another lane so that a new one fits; the fewest moves first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis import AnalysisTask, Assignment, assign, is_schedulable, safe_removal_ns
from aegis_ros.analysis.lanes import Budgets

__all__ = ["Move", "Relocated", "relocate"]

_MOST_TRIED = 64  # tasks that are tried, those of least utilization first
_MOST_WAIT_NS = 5_000_000_000  # for the lane that is left to have nothing pending once


@dataclass(frozen=True, slots=True)
class Move:
    """A task goes from one lane to another.

    Attributes:
        task: its name.
        before, after: the lanes.
        block_before, block_after: the blocks of these lanes that its activations lie in, as in
            :class:`~aegis_ros.memory.Holding`.
    """

    task: str
    before: str
    after: str
    block_before: int = 0
    block_after: int = 0

    def back(self) -> Move:
        """Return the way back."""
        return Move(self.task, self.after, self.before, self.block_after, self.block_before)


@dataclass(frozen=True, slots=True)
class Relocated:
    """What has to move, and the proof of what is there afterwards, the new task included."""

    moves: tuple[Move, ...]
    assignment: Assignment


def relocate(
    task: AnalysisTask,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    lanes: Sequence[str],
    *,
    budgets: Budgets,
    switch_ns: int,
    at_rest: bool,
) -> Relocated | None:
    """Return how a new task fits once running ones are on other lanes; ``None`` where none does.

    One task moves where that is enough. It is safe while everything runs: the lane it goes to
    passes with it and all that is there, and the new task gets its place on the lane that is left
    once nothing is pending there any more (:func:`~aegis_ros.analysis.safe_removal_ns`). Lanes that
    may never be idle, or not within seconds, are not left. Several tasks move only while none of
    them runs, since what is there between two moves is proven for one only.

    Args:
        task: the new task.
        admitted: for each running task, how the tests see it and its lane.
        lanes: names of all lanes.
        budgets: of the new task and of each running one that may move, on each lane it may go to.
        switch_ns: charged to every segment.
        at_rest: whether no job has been released yet.
    """
    movable = sorted(
        (name for name in budgets if name in admitted),
        key=lambda name: admitted[name][0].utilization,
    )[:_MOST_TRIED]
    on = {lane: [item for item, where in admitted.values() if where == lane] for lane in lanes}
    rest = {lane: _settles(on[lane], switch_ns) for lane in lanes}
    new = budgets.get(task.name, dict.fromkeys(lanes, task))
    for name in movable:
        own, before = admitted[name]
        stays = [item for item in on[before] if item is not own]
        if before not in new or not (at_rest or rest[before]):
            continue
        if not is_schedulable([*stays, new[before]], switch_ns=switch_ns):
            continue
        for after, there in budgets[name].items():
            if after == before or not is_schedulable([*on[after], there], switch_ns=switch_ns):
                continue
            found = _assigned(
                task,
                before,
                admitted,
                {name: (there, after)},
                lanes=lanes,
                switch_ns=switch_ns,
                new=new,
            )
            if found.schedulable:
                return Relocated((Move(name, before, after),), found)
    return _all_anew(task, admitted, lanes, budgets, switch_ns=switch_ns) if at_rest else None


def _settles(tasks: Sequence[AnalysisTask], switch_ns: int) -> bool:
    wait_ns = safe_removal_ns(tasks, 0, switch_ns=switch_ns)
    return wait_ns is not None and wait_ns <= _MOST_WAIT_NS


def _assigned(
    task: AnalysisTask,
    lane: str,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    moved: Mapping[str, tuple[AnalysisTask, str]],
    *,
    lanes: Sequence[str],
    switch_ns: int,
    new: Mapping[str, AnalysisTask],
) -> Assignment:
    """Return the proof with the new task on a lane and the moved ones on theirs."""
    together = {**admitted, **moved}
    fixed = {name: where for name, (_, where) in together.items()} | {task.name: lane}
    tasks = [item for item, _ in together.values()]
    found = assign([*tasks, new[lane]], lanes, switch_ns=switch_ns, fixed=fixed)
    return replace(found, method="moving another task")


def _all_anew(
    task: AnalysisTask,
    admitted: Mapping[str, tuple[AnalysisTask, str]],
    lanes: Sequence[str],
    budgets: Budgets,
    *,
    switch_ns: int,
) -> Relocated | None:
    """Return an assignment in which everything that may move is placed anew."""
    fixed = {name: lane for name, (_, lane) in admitted.items() if name not in budgets}
    tasks = [item for item, _ in admitted.values()]
    found = assign([*tasks, task], lanes, switch_ns=switch_ns, fixed=fixed, budgets=budgets)
    if not found.schedulable:
        return None
    moves = tuple(
        Move(name, before, after)
        for name, (_, before) in admitted.items()
        if (after := found.lane_of[name]) != before
    )
    return Relocated(moves, found)
