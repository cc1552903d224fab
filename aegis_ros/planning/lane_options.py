"""A layout whose budgets are those of prepared networks, measured alone and beside each other."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.memory import arena_plan
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.contention import MeasurePair, Placed, Verify
from aegis_ros.planning.cutting import SEGMENT_COUNTS
from aegis_ros.planning.lane_choice import lane_names
from aegis_ros.planning.lane_trial import Tasks
from aegis_ros.planning.preparation import Measure, Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.segment_choice import cut_to_fit
from aegis_ros.rationale.rejection import NotMeasuredBeside

__all__ = ["OptionsLayout"]

LaneOf = Mapping[str, str]


class OptionsLayout:
    """Tasks on the lanes of one device, cut where those of their lane need it, as at registration.

    A network that was never measured beside another one is assumed to take ``assumed`` times as
    long there; :meth:`assumptions` says where that was needed. Segments that were never measured
    are estimated from the whole.

    Args:
        tasks: as :meth:`Preparation.prepare` returns them, in the order of registration.
        preparation: of the device with these lanes.
        assumed: how many times longer a network takes beside one that it never met.
    """

    def __init__(
        self, tasks: Sequence[Options], preparation: Preparation, assumed: Fraction
    ) -> None:
        """Judge nothing yet."""
        self._options = {each.spec.name: each for each in tasks}
        self._preparation = preparation
        self._assumed = assumed
        self._contention = preparation.contention
        self.lanes = lane_names(preparation.device)
        self.switch_ns = preparation.device.switch_ns
        self.follows = {name: each.spec.follows for name, each in self._followed()}
        self._cut: dict[tuple[str, str, int], Candidate] = {}
        self._beside: dict[tuple[str, int, frozenset[tuple[str, str]]], Candidate] = {}
        self._placed: dict[frozenset[tuple[str, str]], dict[str, Placed]] = {}

    def _followed(self) -> list[tuple[str, Options]]:
        return [(name, each) for name, each in self._options.items() if each.spec.follows]

    def contracts(self) -> Sequence[AnalysisTask]:
        """Return the tasks with the least they take on any lane."""
        return [
            min(each.by_lane().values(), key=lambda task: task.work_ns)
            for each in self._options.values()
        ]

    def lanes_for(self, task: str) -> Sequence[str]:
        """Return the lanes on which a task has a budget."""
        able = self._options[task].by_lane()
        return [lane for lane in self.lanes if lane in able]

    def alike(self, lane: str) -> Hashable:
        """Return the kind of a lane."""
        return self._contention.kind(lane)

    def fits(self, lane_of: LaneOf) -> bool:
        """Return whether the networks fit into the arena together.

        Of only some of the tasks, whether they may fit beside those that are registered between.
        """
        return self.left(lane_of) >= 0

    def left(self, lane_of: LaneOf) -> int:
        """Return what the networks leave of the arena together; negative where they do not fit."""
        holdings = [
            options.on(lane_of[name]).holding(lane_of[name])
            for name, options in self._options.items()
            if name in lane_of
        ]
        if len(holdings) < len(self._options):
            holdings.sort(key=lambda each: -each.footprint.activations)  # as few blocks as can be
        return self._preparation.device.arena_bytes - arena_plan(holdings).nbytes

    def running(self, lane_of: LaneOf) -> Tasks:
        """Return the tasks as they would run: whole where all are in time, else cut."""
        return {
            name: (each.candidate.analysis_task(), each.lane)
            for name, each in self.placed(lane_of).items()
        }

    def least(self, lane_of: LaneOf) -> Tasks:
        """Return the tasks with the least they take, in the shortest segments they may get."""
        return {
            name: (self._finest(self._whole(name, lane_of)), lane) for name, lane in lane_of.items()
        }

    def placed(self, lane_of: LaneOf) -> dict[str, Placed]:
        """Return the tasks as they would run, with the budgets they have beside each other."""
        key = frozenset(lane_of.items())
        found = self._placed.get(key)
        if found is None:
            whole = {
                name: Placed(self._whole(name, lane_of), lane) for name, lane in lane_of.items()
            }
            found = dict(whole)
            for lane in dict.fromkeys(lane_of.values()):
                there = {name: each for name, each in whole.items() if each.lane == lane}
                tasks = [each.candidate.analysis_task() for each in there.values()]
                if not is_schedulable(tasks, switch_ns=self.switch_ns):
                    found |= self._cut_for_each_other(there, lane_of)
            self._placed[key] = found
        return found

    def assumptions(self, lane_of: LaneOf) -> tuple[tuple[str, str], ...]:
        """Return who was never measured beside whom: pairs of a task and a neighbour."""
        found = []
        for name, each in self.placed(lane_of).items():
            own = self._alone(name, each.lane, each.candidate.compiled.segments)
            try:
                self._contention.beside(own, each.lane, self._others(name, lane_of), None)
            except Refusal as refusal:
                if isinstance(refusal.reason, NotMeasuredBeside):
                    found += [(name, other) for other in refusal.reason.neighbours]
        return tuple(found)

    def measure(
        self, lane_of: LaneOf, whole: Measure, pairs: MeasurePair, verify: Verify | None = None
    ) -> None:
        """Measure what one placement rests on and was assumed or estimated.

        Args:
            lane_of: the placement.
            whole: measures a network alone.
            pairs: measures one beside another.
            verify: measures what it takes with all other lanes busy; ``None`` where pairs have
                to do.

        Raises:
            Refusal: it cannot be measured now.
        """
        for name, each in self.placed(lane_of).items():
            own = self._options[name].on(each.lane)
            parts = each.candidate.compiled.segments
            if parts > own.compiled.segments:
                own = self._preparation.in_segments(own, parts, whole, estimate=False)
            self._contention.beside(
                own, each.lane, self._others(name, lane_of), pairs, verify=verify
            )

    def lacks(self, lane_of: LaneOf) -> bool:
        """Return whether anything that a placement rests on was assumed or estimated."""
        placed = self.placed(lane_of).values()
        estimated = any(each.candidate.wcet_source == "estimated" for each in placed)
        return estimated or bool(self.assumptions(lane_of))

    def forget(self) -> None:
        """Ask for all budgets again: something was measured."""
        self._cut.clear()
        self._beside.clear()
        self._placed.clear()

    def _whole(self, name: str, lane_of: LaneOf) -> Candidate:
        own = self._options[name].on(lane_of[name])
        return self._with_others(name, own.compiled.segments, lane_of)

    def _alone(self, name: str, lane: str, parts: int) -> Candidate:
        """Return a task in so many segments, with the budgets it has where other lanes are idle."""
        whole = self._options[name].on(lane)
        if parts == whole.compiled.segments:
            return whole
        key = name, whole.lanes[0], parts
        if key not in self._cut:
            self._cut[key] = self._preparation.in_segments(whole, parts, None, estimate=True)
        return self._cut[key]

    def _with_others(self, name: str, parts: int, lane_of: LaneOf) -> Candidate:
        lane = lane_of[name]
        around = self._contention.slowed_by(lane)
        elsewhere = {(other, at) for other, at in lane_of.items() if at in around}
        key = name, parts, frozenset({*elsewhere, (name, lane)})
        if key not in self._beside:
            own = self._alone(name, lane, parts)
            self._beside[key] = self._contention.beside(
                own, lane, self._others(name, lane_of), None, assumed=self._assumed
            )
        return self._beside[key]

    def _others(self, name: str, lane_of: LaneOf) -> list[Placed]:
        """Return the other tasks; however they are cut, they are the same neighbours."""
        return [
            Placed(self._options[other].on(lane), lane)
            for other, lane in lane_of.items()
            if other != name
        ]

    def _finest(self, whole: Candidate) -> AnalysisTask:
        """Return a task in segments no longer than any cut leaves, for the work of the whole."""
        task = whole.analysis_task().switched(self.switch_ns)
        if whole.spec.segments or whole.compiled.segments > 1:
            return task
        return replace(task.cut(SEGMENT_COUNTS[-1]), total_ns=task.work_ns)

    def _cut_for_each_other(
        self, there: Mapping[str, Placed], lane_of: LaneOf
    ) -> dict[str, Placed]:
        """Return the tasks of one lane cut one after the other, as they are registered."""
        found: dict[str, Placed] = {}
        order = [name for name in self._options if name in there]
        for index, name in enumerate(order):
            lane = there[name].lane
            own = Options((replace(there[name].candidate, lanes=(lane,)),))
            admitted = {
                other: (each.candidate.analysis_task(), each.lane) for other, each in found.items()
            }
            coming = [
                replace(there[other].candidate.analysis_task(), lane=lane)
                for other in order[index + 1 :]
            ]
            cut = cut_to_fit(
                own, admitted, coming, None, preparation=self._preparation, estimate=True
            )
            parts = cut.segments[0]
            found[name] = Placed(self._with_others(name, parts, lane_of), lane)
        return found
