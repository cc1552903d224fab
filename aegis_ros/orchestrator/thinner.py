"""Leaves frames of tasks of low criticality out, and gives them back when the proof allows it.

Fewer frames can be taken at once. More frames, or those of a new task, may come only once nothing
is pending any more of what came at the old rates: until then every task runs at the lower of its
two rates. An instant without anything pending comes within the longest busy interval of what ran
before, as after a removal (:func:`~aegis_ros.analysis.safe_removal_ns`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aegis_ros.analysis import AnalysisTask, safe_removal_ns, thin
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.intake import FramePace
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale import Decision, Rule
from aegis_ros.spec import DeviceSpec

__all__ = ["PaceChange", "Thinner", "every_nth", "fewer_frames"]

_NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class PaceChange:
    """A running task that takes every n-th frame from now on, and did so before."""

    entry: Entry
    before: int
    after: int


class Thinner:
    """Changes how many frames the tasks of a lane take. Called under the orchestrator's lock.

    Args:
        admitted: the tasks.
        log: where changes are told.
        device: cost of a switch.
    """

    def __init__(self, admitted: AdmittedSet, log: RationaleLog, device: DeviceSpec) -> None:
        """Begin with every frame of every task."""
        self._admitted = admitted
        self._log = log
        self._switch_ns = device.switch_ns
        self._settled_ns: dict[str, int] = {}
        self._left: dict[str, str] = {}  # by lane, whose removal gives frames back
        self._asked: dict[str, object] = {}

    def forget(self) -> None:
        """Begin again."""
        self._settled_ns.clear()
        self._left.clear()
        self._asked.clear()

    def leaves(self, entry: Entry) -> None:
        """Note that a task is about to be removed."""
        self._left[entry.lane] = entry.spec.name

    def joins(self, entry: Entry, factors: Mapping[str, int] | None) -> list[PaceChange]:
        """Change the paces of a lane for the sake of a task that is about to be added to it.

        Args:
            entry: the new task; it is given its own pace.
            factors: what was proven; ``None`` where the task fits beside what runs as it runs.

        Returns:
            What changes for the others, still to be told.
        """
        now = time.monotonic_ns()
        settled_ns = self._settled_ns.get(entry.lane, 0)
        opens_ns = settled_ns if settled_ns > now else 0
        changes: list[PaceChange] = []
        if factors is not None:
            entry.every = factors.get(entry.spec.name, 1)
            changes = self._changes(entry.lane, factors)
            if changes:
                opens_ns = self._apply(entry.lane, changes, now)
        entry.fed.pace = FramePace(entry.every, entry.every, 0, opens_ns)
        return changes

    def refresh(self) -> bool:
        """Share frames anew on every lane that leaves some out; return whether anything changed."""
        changed = False
        for lane in {entry.lane for entry in self._admitted if entry.every > 1}:
            changed |= self._refresh(lane)
        return changed

    def tell(self, changes: Sequence[PaceChange], why: str, related: int = 0) -> None:
        """Tell what changes for tasks that run already."""
        for change in changes:
            spec = change.entry.spec
            now, before = (
                f"{1e9 / spec.period_ns / every:.1f}" for every in (change.after, change.before)
            )
            self._log.tell(
                spec.name,
                Decision.INFORMED,
                Rule.THINNING,
                f"{spec.name} now takes {every_nth(change.after)} ({now} instead of {before} a "
                f"second) {why}",
                lane=change.entry.lane,
                utilization_after=self._admitted.utilization(change.entry.lane),
                related=related,
            )

    def _refresh(self, lane: str) -> bool:
        own = [entry for entry in self._admitted if entry.lane == lane]
        tasks = [entry.candidate.analysis_task() for entry in own]
        leaving = self._leaving(lane)
        asked = (tuple(tasks), tuple(leaving), tuple(entry.every for entry in own))
        if self._asked.get(lane) == asked:
            return False
        self._asked[lane] = asked
        most = {entry.spec.name: entry.spec.thinnest for entry in own}
        fixed = {task.name: lane for task in (*tasks, *leaving)}
        factors = thin([*tasks, *leaving], most, [lane], switch_ns=self._switch_ns, fixed=fixed)
        changes = [] if factors is None else self._changes(lane, factors)
        if not changes or self._free_ns(lane, 0) is None:
            return False
        self._apply(lane, changes, time.monotonic_ns())
        gone = self._left.pop(lane, "") if not leaving else self._left.get(lane, "")
        self.tell(changes, f"since {gone} is gone" if gone else "as frames are shared anew")
        return True

    def _changes(self, lane: str, factors: Mapping[str, int]) -> list[PaceChange]:
        return [
            PaceChange(entry, entry.every, after)
            for entry in self._admitted
            if entry.lane == lane and entry.every != (after := factors.get(entry.spec.name, 1))
        ]

    def _apply(self, lane: str, changes: Sequence[PaceChange], now: int) -> int:
        """Change the paces; return from when on everything may come as it is proven."""
        free_ns = self._free_ns(lane, max(now, self._settled_ns.get(lane, 0)))
        from_ns = _NEVER_NS if free_ns is None else free_ns
        self._settled_ns[lane] = from_ns
        for change in changes:
            fed = change.entry.fed
            fed.pace = replace(
                fed.pace,
                every=max(fed.pace.at(now), change.after),
                later=change.after,
                from_ns=from_ns,
            )
        self._admitted.thin({change.entry.spec.name: change.after for change in changes})
        return from_ns

    def _free_ns(self, lane: str, since_ns: int) -> int | None:
        before = [entry.analysis_task() for entry in self._admitted if entry.lane == lane]
        before += self._leaving(lane)
        return safe_removal_ns(before, since_ns, switch_ns=self._switch_ns)

    def _leaving(self, lane: str) -> list[AnalysisTask]:
        return [
            task
            for name, (task, where) in self._admitted.running().items()
            if where == lane and self._admitted.get(name) is None
        ]


def every_nth(n: int) -> str:
    """Return which frames are taken, in words."""
    if n == 1:
        return "every frame"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10 if n % 100 not in (11, 12, 13) else 0, "th")
    return f"every {n}{ending} frame"


def fewer_frames(name: str, period_ns: int, n: int) -> str:
    """Return how many frames a task takes where it takes every n-th."""
    full = 1e9 / period_ns
    return f"{name} takes {every_nth(n)} ({full / n:.1f} instead of {full:.1f} a second)"
