"""Budgets of tasks on lanes that slow each other: the worst of alone and beside the other lanes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from aegis_ros.backends import Backend, CompiledNetwork, LaneClass, lane_classes
from aegis_ros.planning.beside import (
    Loads,
    MeasurePair,
    PairRun,
    Placed,
    Ran,
    Verify,
    crowd,
    loaded_lanes,
    several,
)
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.cutting import cut_budget
from aegis_ros.planning.early_exit import plan_for
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale.admission import BesideBudget, DeclaredBudget, MeasuredBudget
from aegis_ros.rationale.rejection import NotMeasuredBeside
from aegis_ros.spec import DeviceSpec
from aegis_ros.wcet import (
    KnownProfiles,
    Neighbour,
    Place,
    Profile,
    ProfileKey,
    Stress,
    contended,
    unmeasured,
)

__all__ = ["Contention", "Loads", "MeasurePair", "PairRun", "Placed", "Verify", "at_least"]


class Contention:
    """Knows which lanes slow each other, and what tasks take beside others.

    A task counts as a neighbour from the moment it is placed on another lane, also one of best
    effort. Tasks of one lane never run at once and are none to each other.

    Args:
        device: its lanes.
        backends: by name, all that the lanes name.
        profiles: what was measured.
        key_of: returns the key of a candidate's profile.
    """

    def __init__(
        self,
        device: DeviceSpec,
        backends: Mapping[str, Backend],
        profiles: KnownProfiles,
        key_of: Callable[[Candidate], ProfileKey],
    ) -> None:
        """Look at nothing yet."""
        self._profiles = profiles
        self._key_of = key_of
        self._lanes = tuple(lane.name for lane in device.lanes)
        classes = lane_classes(device)
        self._class_of: dict[str, LaneClass] = {
            lane: each for each in classes for lane in each.lanes
        }
        self._common = {
            lane: backends[each.backend].capabilities.contends
            for each in classes
            for lane in each.lanes
        }
        self._alike = {
            lane: backends[each.backend].capabilities.on_cores
            for each in classes
            for lane in each.lanes
        }

    @property
    def present(self) -> bool:
        """Whether any lane slows another one."""
        return any(self.slowed_by(lane) for lane in self._lanes)

    def slowed_by(self, lane: str) -> tuple[str, ...]:
        """Return the other lanes whose work makes that of a lane take longer, and the reverse."""
        common = self._common[lane]
        return tuple(
            each for each in self._lanes if each != lane and common and self._common[each] == common
        )

    def kind(self, lane: str) -> str:
        """Return what a lane has in common with others on which each task takes the same.

        Cores of one class are alike; streams of a GPU have priorities, and are not.
        """
        return self._class_of[lane].lanes[0] if self._alike[lane] else lane

    def neighbour(self, other: CompiledNetwork, name: str, lane: str, own: str) -> Neighbour:
        """Return what is noted of a network that runs on another lane.

        Cores are alike, so that nothing of the lane matters. Of a GPU's lane it matters which part
        of the GPU it has, and whether its stream goes before the one that is timed; not its name,
        nor how many others there are: what was measured for some lanes holds for others like them,
        and for no other ones.

        Args:
            other: the network; however it is cut, it is one neighbour.
            name: of its task.
            lane: where it runs.
            own: lane of the network whose neighbour it is.
        """
        if self._alike[lane]:
            return Neighbour(other.key, Place.BESIDE, "", name)
        timed = self._lanes.index(self.own_lane(own, lane))
        order = "more" if self._lanes.index(lane) < timed else "less"
        share = self._class_of[lane].share
        what = f"{order} urgent lane" + (f" with {share}" if share else "")
        return Neighbour(other.key, Place.BESIDE, what, name)

    def own_lane(self, lane: str, other: str) -> str:
        """Return where a network is timed for a lane while another lane is busy.

        On cores there itself; else on the last lane of its class, whose stream has the lowest
        priority: one measurement then holds for all of them.
        """
        if self._alike[lane]:
            return lane
        return next(each for each in reversed(self._class_of[lane].lanes) if each != other)

    def beside(
        self,
        candidate: Candidate,
        lane: str,
        others: Sequence[Placed],
        measure: MeasurePair | None,
        *,
        assumed: Fraction | None = None,
        verify: Verify | None = None,
    ) -> Candidate:
        """Return a task with the budgets that hold while the other lanes run these tasks.

        They are never less than what was measured while several other lanes were busy at once, or
        loaded, as far as that was measured.

        Args:
            candidate: with the budgets it has where other lanes are idle.
            lane: where it runs.
            others: tasks on any lane; those that do not meet it are left out.
            measure: called for what was never measured; ``None`` where that is not possible now.
            assumed: how many times longer than alone it takes beside those that it was never
                measured with; ``None`` to refuse them.
            verify: measures that, as far as it was not; ``None`` where the pairs have to do.

        Raises:
            Refusal: it was not measured beside one of them, and cannot be now.
        """
        around = self.slowed_by(lane)
        busy = [[each for each in others if each.lane == where] for where in around]
        busy = [each for each in busy if each]
        if not busy:
            return candidate
        if candidate.wcet_source == "declared":
            return self._declared(candidate, lane, busy)
        if candidate.wcet_source == "estimated":
            return self._estimated(candidate, lane, busy, assumed)
        key = self._key_of(candidate)
        lanes = [[self._seen(each, lane) for each in there] for there in busy]
        profile = self._profiles.get(key)
        if profile is None or profile.segments != candidate.compiled.segments:
            return candidate  # its budget was refused before
        all_of_them = [each for there in lanes for each in there]
        lacking = set(unmeasured(profile, all_of_them))
        if lacking and measure is None and assumed is None:
            raise Refusal(self._not_measured(candidate, lane, busy, lacking))
        for each in (item for there in busy for item in there):
            seen = self._seen(each, lane)
            if measure is not None and seen in lacking:
                lacking.remove(seen)
                measure(
                    PairRun(
                        candidate.spec,
                        candidate.compiled,
                        key,
                        candidate.prepared.digest,
                        self.own_lane(lane, each.lane),
                        seen,
                        ((each.candidate.compiled, each.lane),),
                    )
                )
        profile = self._profiles.get(key)
        lacking = set(all_of_them if profile is None else unmeasured(profile, all_of_them))
        if profile is None or (lacking and assumed is None):
            raise Refusal(self._not_measured(candidate, lane, busy, lacking))
        if verify is not None:
            self._verify(candidate, lane, busy, profile=profile, verify=verify)
            profile = self._profiles.get(key) or profile
        found = contended(profile, lanes, assumed, self._where(lane))
        basis = candidate.wcet_basis
        if found.neighbour is not None:
            decided = MeasuredBudget(found.decided.sentence, found.decided.summary)
            basis = BesideBudget(
                found.neighbour.name,
                len(busy),
                found.alone_ns,
                decided,
                found.at_once_ns,
                at_once=found.neighbour.place is Place.AT_ONCE,
            )
        total_ns = found.total_ns if len(found.budgets_ns) > 1 else 0
        return replace(
            candidate,
            plan=plan_for(candidate.spec, candidate.compiled, found.budgets_ns, total_ns),
            wcet_basis=basis,
        )

    def placed(
        self,
        options: Options,
        lane: str,
        running: Mapping[str, Placed],
        measure: MeasurePair | None,
        *,
        verify: Verify | None = None,
    ) -> tuple[Options, dict[str, Candidate]]:
        """Return a new task on one lane, and the running ones whose budgets grow beside it.

        Budgets never become smaller: who left may have a last job that still runs.

        Args:
            options: the new task.
            lane: one that it may go to.
            running: by name, all that is placed.
            measure: as for :meth:`beside`.
            verify: as for :meth:`beside`.

        Raises:
            Refusal: as :meth:`beside`.
        """
        own = self.beside(options.on(lane), lane, tuple(running.values()), measure, verify=verify)
        new = Placed(own, lane)
        grown = {}
        for name, each in running.items():
            if each.lane not in self.slowed_by(lane):
                continue
            others = [other for key, other in running.items() if key != name]
            beside = self.beside(each.candidate, each.lane, [*others, new], measure, verify=verify)
            after = at_least(beside, each.candidate)
            if after.plan != each.candidate.plan:
                grown[name] = after
        return replace(options, candidates=(replace(own, lanes=(lane,)),)), grown

    def _verify(
        self,
        candidate: Candidate,
        lane: str,
        busy: Sequence[Sequence[Placed]],
        *,
        profile: Profile,
        verify: Verify,
    ) -> None:
        """Measure a task with all lanes busy that are, and with all of them loaded."""
        key = self._key_of(candidate)
        at_work = [
            [Ran(self._seen(each, lane), each.candidate.compiled, each.lane) for each in there]
            for there in busy
        ]
        loads = [(there[0].lane, verify.loads(there[0].lane)) for there in busy]
        loaded = {
            stress: [
                Ran(self.neighbour(own[stress], f"{stress} load", at, lane), own[stress], at)
                for at, own in loads
                if stress in own
            ]
            for stress in Stress
        }
        for stress, parts in (*several(profile, at_work), *loaded_lanes(loaded)):
            alone = parts[0][0] if len(parts) == 1 else None
            run = PairRun(
                candidate.spec,
                candidate.compiled,
                key,
                candidate.prepared.digest,
                self.own_lane(lane, alone.lane) if alone is not None else lane,
                alone.seen if alone is not None else crowd(parts, self._where(lane)),
                tuple((each.network, each.lane) for part in parts for each in part),
                stress,
            )
            if unmeasured(self._profiles.get(key) or profile, [run.neighbour]):
                verify.measure(run)

    def _where(self, lane: str) -> str:
        """Return what matters of a lane where several others are busy at once.

        Streams of a GPU have priorities: which of the others go first.
        """
        if self._alike[lane]:
            return ""
        return f"lane {self._lanes.index(lane) + 1} of {len(self._lanes)}"

    def declared_as_they_are(
        self, new: Placed, running: Mapping[str, Placed]
    ) -> tuple[tuple[str, str], ...]:
        """Return running tasks whose declared budgets say nothing of a new one beside them.

        Each with its lane.
        """
        found = []
        for name, each in running.items():
            if each.candidate.wcet_source == "declared" and each.lane in self.slowed_by(new.lane):
                basis = self._declared(each.candidate, each.lane, [[new]]).wcet_basis
                if isinstance(basis, DeclaredBudget) and basis.unmeasured:
                    found.append((name, each.lane))
        return tuple(found)

    def _seen(self, other: Placed, own: str) -> Neighbour:
        candidate = other.candidate
        return self.neighbour(candidate.compiled, candidate.spec.name, other.lane, own)

    def _not_measured(
        self,
        candidate: Candidate,
        lane: str,
        busy: Sequence[Sequence[Placed]],
        lacking: set[Neighbour],
    ) -> NotMeasuredBeside:
        names = tuple(
            each.candidate.spec.name
            for there in busy
            for each in there
            if self._seen(each, lane) in lacking
        )
        return NotMeasuredBeside(candidate.spec.name, lane, names, self._common[lane])

    def _declared(
        self, candidate: Candidate, lane: str, busy: Sequence[Sequence[Placed]]
    ) -> Candidate:
        """Return a declared budget, which is one alone, longer by as much as was measured.

        Nothing is measured for it: beside whom it never was, it is taken as it is, and says so.
        """
        spec, compiled = candidate.spec, candidate.compiled
        names = tuple(dict.fromkeys(each.candidate.spec.name for part in busy for each in part))
        lanes = [[self._seen(each, lane) for each in there] for there in busy]
        key = self._key_of(candidate)
        found = [self._profiles.get(each) for each in (key, replace(key, network=compiled.key))]
        profile = next((each for each in found if each and each.apart() is not None), None)
        lacking, slowdown = names, Fraction(1)
        if profile is not None:
            met = unmeasured(profile, [each for part in lanes for each in part])
            lacking = tuple(
                dict.fromkeys(
                    each.candidate.spec.name
                    for part in busy
                    for each in part
                    if self._seen(each, lane) in met
                )
            )
            whole = contended(profile, lanes, Fraction(1), self._where(lane))
            slowdown = Fraction(whole.total_ns, whole.alone_ns)
        declared = cut_budget(spec.wcet_ns, compiled.segments, compiled.shares)
        budgets = tuple(-int(-part * slowdown // 1) for part in declared)
        basis = DeclaredBudget(spec.wcet_ns, names, float(slowdown), lacking)
        return replace(candidate, plan=plan_for(spec, compiled, budgets), wcet_basis=basis)

    def _estimated(
        self,
        candidate: Candidate,
        lane: str,
        busy: Sequence[Sequence[Placed]],
        assumed: Fraction | None,
    ) -> Candidate:
        """Return estimated budgets, longer by as much as the whole network takes longer."""
        key = replace(self._key_of(candidate), network=candidate.compiled.key)
        profile = self._profiles.get(key)
        lanes = [[self._seen(each, lane) for each in there] for there in busy]
        all_of_them = [each for there in lanes for each in there]
        lacking = set(all_of_them if profile is None else unmeasured(profile, all_of_them))
        if profile is None or (lacking and assumed is None):
            raise Refusal(self._not_measured(candidate, lane, busy, lacking))
        whole = contended(profile, lanes, assumed, self._where(lane))
        slowdown = Fraction(whole.total_ns, whole.alone_ns)
        budgets = tuple(-int(-part * slowdown // 1) for part in candidate.plan.budgets_ns)
        total = -int(-candidate.work_ns * slowdown // 1)
        total_ns = min(total, sum(budgets)) if candidate.plan.total_ns else 0
        return replace(
            candidate, plan=plan_for(candidate.spec, candidate.compiled, budgets, total_ns)
        )


def at_least(candidate: Candidate, before: Candidate) -> Candidate:
    """Return a task with no budget below what it was."""
    parts = tuple(map(max, candidate.plan.budgets_ns, before.plan.budgets_ns))
    if parts == candidate.plan.budgets_ns and candidate.work_ns >= before.work_ns:
        return candidate
    total = min(sum(parts), max(candidate.work_ns, before.work_ns, *parts))
    plan = plan_for(candidate.spec, candidate.compiled, parts, total if len(parts) > 1 else 0)
    basis = candidate.wcet_basis if candidate.work_ns > before.work_ns else before.wcet_basis
    return replace(candidate, plan=plan, wcet_basis=basis)
