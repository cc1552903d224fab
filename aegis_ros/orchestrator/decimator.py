"""Leaves frames of tasks of low criticality out, and gives them back when the proof allows it.

Fewer frames can be taken at once. More frames, or those of a new task, may come only once nothing
is pending any more of what came at the old rates: until then every task runs at the lower of its
two rates. An instant without anything pending comes within the longest busy interval of what ran
before, as after a removal (:func:`~aegis_ros.analysis.safe_removal_ns`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from aegis_ros.analysis import AnalysisTask, find_decimation, safe_removal_ns
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.fed_task import NEVER_NS, FrameDecimation
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.rationale.decimation import DecimationCause, DecimationChanged
from aegis_ros.spec import DeviceSpec

__all__ = ["DecimationChange", "Decimator"]


@dataclass(frozen=True, slots=True)
class DecimationChange:
    """A running task that takes every n-th frame from now on, and did so before."""

    entry: Entry
    before: int
    after: int


class Decimator:
    """Changes how many frames the tasks of a lane take.

    Called under the orchestrator's lock but for :meth:`slowed`, which never waits for long.

    Args:
        admitted: the tasks.
        log: where changes are reported.
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
        self._slow: Mapping[str, Mapping[str, int]] = {}
        self._speed = Fraction(1)
        self._lock = threading.RLock()  # of the decimations, apart from what may take minutes

    def forget(self) -> None:
        """Begin again."""
        self._settled_ns.clear()
        self._left.clear()
        self._asked.clear()
        self._slow, self._speed = {}, Fraction(1)

    def leaves(self, entry: Entry) -> None:
        """Note that a task is about to be removed."""
        self._left[entry.lane] = entry.spec.name

    def joins(self, entry: Entry, decimation: Mapping[str, int] | None) -> list[DecimationChange]:
        """Change the decimations of a lane for the sake of a task that is about to be added to it.

        Args:
            entry: the new task; it is given its own decimation.
            decimation: what was proven; ``None`` where the task fits beside what runs as it runs.

        Returns:
            What changes for the others, still to be reported.
        """
        with self._lock:
            now = time.monotonic_ns()
            settled_ns = self._settled_ns.get(entry.lane, 0)
            opens_ns = settled_ns if settled_ns > now else 0
            changes: list[DecimationChange] = []
            if decimation is not None:
                entry.decimation = decimation.get(entry.spec.name, 1)
                changes = self._changes(entry.lane, decimation)
                if changes:
                    self._admitted_as(changes)
                    opens_ns = self._apply(entry.lane, now)
            entry.fed.decimation = FrameDecimation(entry.decimation, entry.decimation, 0, opens_ns)
            return changes

    def slowed(self, decimations: Mapping[str, Mapping[str, int]], speed: float) -> None:
        """Keep to the decimations of a slow device; whoever found them reports them.

        Args:
            decimations: by lane, n of each task; a lane that is not named runs as it was proven.
            speed: of the device.
        """
        with self._lock:
            self._slow, self._speed = decimations, Fraction(min(1.0, speed))
            now = time.monotonic_ns()
            for lane in {entry.lane for entry in self._admitted}:
                self._apply(lane, now)

    def refresh(self) -> bool:
        """Share frames anew on every lane that leaves some out; return whether anything changed."""
        changed = False
        for lane in {entry.lane for entry in self._admitted if entry.decimation > 1}:
            changed |= self._refresh(lane)
        return changed

    def report(
        self,
        changes: Sequence[DecimationChange],
        cause: DecimationCause,
        other: str = "",
        related: int = 0,
    ) -> None:
        """Report what changes for tasks that run already.

        Args:
            changes: of their decimation.
            cause: why.
            other: the task that was admitted or removed.
            related: id of the rationale this follows from, 0 for none.
        """
        for change in changes:
            spec, lane = change.entry.spec, change.entry.lane
            self._log.report(
                DecimationChanged(
                    task=spec.name,
                    lane=lane,
                    period_ns=spec.period_ns,
                    before=change.before,
                    after=change.after,
                    cause=cause,
                    other=other,
                    utilization_after=self._admitted.utilization(lane),
                ),
                related=related,
            )

    def _refresh(self, lane: str) -> bool:
        own = [entry for entry in self._admitted if entry.lane == lane]
        tasks = [entry.candidate.analysis_task() for entry in own]
        leaving = self._leaving(lane)
        asked = (tuple(tasks), tuple(leaving), tuple(entry.decimation for entry in own))
        if self._asked.get(lane) == asked:
            return False
        self._asked[lane] = asked
        limits = {entry.spec.name: entry.spec.decimation_limit for entry in own}
        fixed = {task.name: lane for task in (*tasks, *leaving)}
        decimation = find_decimation(
            [*tasks, *leaving], limits, [lane], switch_ns=self._switch_ns, fixed=fixed
        )
        changes = [] if decimation is None else self._changes(lane, decimation)
        if not changes or self._free_ns(lane, 0) is None:
            return False
        with self._lock:
            self._admitted_as(changes)
            self._apply(lane, time.monotonic_ns())
        gone = self._left.pop(lane, "") if not leaving else self._left.get(lane, "")
        cause = DecimationCause.REMOVED if gone else DecimationCause.SHARED_ANEW
        self.report(changes, cause, gone)
        return True

    def _changes(self, lane: str, decimation: Mapping[str, int]) -> list[DecimationChange]:
        return [
            DecimationChange(entry, entry.decimation, after)
            for entry in self._admitted
            if entry.lane == lane
            and entry.decimation != (after := decimation.get(entry.spec.name, 1))
        ]

    def _admitted_as(self, changes: Sequence[DecimationChange]) -> None:
        self._admitted.decimate({change.entry.spec.name: change.after for change in changes})

    def _apply(self, lane: str, now: int) -> int:
        """Apply the decimation of a lane; return from when on frames may come as proven."""
        slow = self._slow.get(lane)
        wanted = {
            entry.spec.name: entry.decimation if slow is None else slow.get(entry.spec.name, 1)
            for entry in self._admitted
            if entry.lane == lane
        }
        own = [entry for entry in self._admitted if entry.lane == lane]
        changing = [
            entry
            for entry in own
            if entry.fed.decimation.later != wanted[entry.spec.name]
            or entry.fed.decimation.from_ns == NEVER_NS
        ]
        settled_ns = self._settled_ns.get(lane, 0)
        if not changing:
            return settled_ns
        free_ns = self._free_ns(lane, max(now, settled_ns))
        if free_ns is not None:
            self._settled_ns[lane] = free_ns
        for entry in changing:
            n = wanted[entry.spec.name]
            entry.fed.decimation = replace(
                entry.fed.decimation,
                n=max(entry.fed.decimation.at(now), n),
                later=n,
                from_ns=NEVER_NS if free_ns is None else free_ns,
            )
        return NEVER_NS if free_ns is None else free_ns

    def _free_ns(self, lane: str, since_ns: int) -> int | None:
        """Return an instant after which nothing is pending that came before it at other rates."""
        before = [
            entry.candidate.analysis_task(entry.fed.decimation.reached).scaled(
                lambda part: ceil(part / self._speed)
            )
            for entry in self._admitted
            if entry.lane == lane and not entry.fed.shed
        ]
        before += [
            task.scaled(lambda part: ceil(part / self._speed)) for task in self._leaving(lane)
        ]
        switch_ns = ceil(self._switch_ns / self._speed)
        return safe_removal_ns(before, since_ns, switch_ns=switch_ns)

    def _leaving(self, lane: str) -> list[AnalysisTask]:
        return [
            task
            for name, (task, where) in self._admitted.running().items()
            if where == lane and self._admitted.get(name) is None
        ]
