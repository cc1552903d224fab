"""Decides whether a task may run: every step that can say no says which rule and which numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from aegis_ros.analysis import (
    AnalysisTask,
    Assignment,
    ChainsVerdict,
    assign,
    counterfactuals,
    decimated,
    find_decimation,
    safe_removal_ns,
)
from aegis_ros.analysis.lanes import Budgets, admits
from aegis_ros.analysis.task import by_promise
from aegis_ros.backends import Backend, CompiledNetwork, LaneClass, lane_classes
from aegis_ros.decoders import create_decoder
from aegis_ros.engine.slots import output_bytes
from aegis_ros.errors import AegisError, ModelError
from aegis_ros.memory import Footprint, Holding, held, without
from aegis_ros.network import PreparedNetwork, digest, prepare, resolve_model
from aegis_ros.planning.cutting import (
    SEGMENT_COUNTS,
    BlockingCheck,
    advise_cuts,
    blocking_tolerance,
    cut_budget,
    estimated_budget,
)
from aegis_ros.planning.early_exit import early_exit_problem, plan_for, stand_in_problem
from aegis_ros.planning.feeds import decoded_outputs, feeds, max_shape
from aegis_ros.planning.relocation import Move, Relocated, relocate
from aegis_ros.rationale import Counterfactual, Reason, Rule
from aegis_ros.rationale.admission import (
    BudgetBasis,
    CutAsDeclared,
    CutForOthers,
    CutNote,
    CutNotWorth,
    CutReason,
    DeclaredBudget,
    EstimatedBudget,
    MeasuredBudget,
    SegmentsBudget,
)
from aegis_ros.rationale.changes import ArenaLarger, Change, DeadlineLonger, DropForArena
from aegis_ros.rationale.rejection import (
    ArenaFull,
    ArenaShares,
    Holder,
    Invalid,
    ModelUnreadable,
    NoProfile,
    NoSuchLane,
    NotSchedulable,
    ProfileUnreadable,
)
from aegis_ros.rationale.wording import counterfactual, words
from aegis_ros.scheduling import SegmentPlan
from aegis_ros.spec import Criticality, OrchestratorSpec, TaskSpec
from aegis_ros.wcet import ProfileKey, ProfileStore

__all__ = [
    "Admission",
    "Admitted",
    "Candidate",
    "Decimation",
    "Foreseen",
    "Options",
    "Refusal",
    "max_shape",
]

_MIB = 1024 * 1024
_NOTHING = Footprint()
_HOLDERS_SHOWN = 3  # of those that hold most, in a rejection

Measure = Callable[[TaskSpec, CompiledNetwork, ProfileKey, str], None]


class Refusal(Exception):
    """A request is rejected for a reason."""

    def __init__(self, reason: Reason) -> None:
        """Keep the reason."""
        super().__init__(words(reason))
        self.reason = reason

    @property
    def rule(self) -> Rule:
        """The rule that said no."""
        return self.reason.rule

    @property
    def sentence(self) -> str:
        """The reason for people, without a full stop."""
        return words(self.reason)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task whose network is ready and whose budget is known.

    ``plan`` has the budgets of its segments and of a whole job, without the cost of switching.
    ``cut`` says why it runs in as many segments as it does; ``None`` for one that is whole and
    need not be anything else. ``lanes`` are those it may go to with this budget, all of one class.
    ``chain_jitter_ns`` is the proven response of the task before it in a chain, which counts as
    release jitter.
    """

    spec: TaskSpec
    prepared: PreparedNetwork
    compiled: CompiledNetwork
    plan: SegmentPlan
    wcet_source: str
    wcet_basis: BudgetBasis
    cut: CutReason | None = None
    lanes: tuple[str, ...] = ()
    shares_activations: bool = False
    chain_jitter_ns: int = 0

    @property
    def work_ns(self) -> int:
        """Budget of a whole job."""
        return self.plan.total_ns or sum(self.plan.budgets_ns)

    @property
    def footprint(self) -> Footprint:
        """What its network and the slots of its outputs take."""
        return self.compiled.footprint + Footprint(staging=output_bytes(self.compiled))

    def holding(self, lane: str) -> Holding:
        """Return what is in memory for it while it runs on a lane."""
        return Holding((self.spec.name,), self.footprint, lane, self.shares_activations)

    def analysis_task(self, decimation: int = 1) -> AnalysisTask:
        """Return the task as the tests see it: the time kept for publishing is not available.

        Args:
            decimation: n where every n-th frame becomes a job.
        """
        spec = self.spec
        return AnalysisTask(
            spec.name,
            self.plan.budgets_ns,
            spec.period_ns * decimation,
            spec.deadline_ns - spec.output.publish_ns,
            spec.release_jitter_ns + self.chain_jitter_ns,
            spec.criticality,
            spec.lane,
            total_ns=self.plan.total_ns,
        )


@dataclass(frozen=True, slots=True)
class Options:
    """A task on every class of lanes it can run on, each with a budget and a cut of its own.

    Attributes:
        candidates: one a class, at least one, in the order of the lanes.
        barred: why it cannot run on lanes of the other classes it may go to.
    """

    candidates: tuple[Candidate, ...]
    barred: tuple[Reason, ...] = ()

    @property
    def spec(self) -> TaskSpec:
        """What was asked for."""
        return self.candidates[0].spec

    @property
    def segments(self) -> tuple[int, ...]:
        """In how many segments it runs on each class."""
        return tuple(each.compiled.segments for each in self.candidates)

    def on(self, lane: str) -> Candidate:
        """Return the task as it runs on a lane it may go to."""
        return next(each for each in self.candidates if lane in each.lanes)

    def by_lane(self, decimation: int = 1) -> dict[str, AnalysisTask]:
        """Return, for each lane it may go to, how the tests see it there.

        Args:
            decimation: n where every n-th frame becomes a job.
        """
        return {
            lane: each.analysis_task(decimation) for each in self.candidates for lane in each.lanes
        }

    def each(self, change: Callable[[Candidate], Candidate]) -> Options:
        """Return the task with every candidate changed; those for which that fails are barred.

        Raises:
            Refusal: it fails for all of them.
        """
        return _options([partial(change, one) for one in self.candidates], self.barred)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A task as it will run, and its lane; the lane is empty for one that will be rejected."""

    candidate: Candidate
    lane: str


@dataclass(frozen=True, slots=True)
class Decimation:
    """The decimation of a running task.

    Attributes:
        n: every n-th frame becomes a job now.
        limit: how large n may become.
    """

    n: int
    limit: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The yes: the lane, and the proof.

    ``decimation`` is n of each task of the lane that takes every n-th frame from now on, where that
    changes for any of them or for the new one; else ``None``. ``moves`` are running tasks that go
    to other lanes before it comes. ``chains`` is the proof of all chains with the new task;
    ``None`` where there are none.
    """

    lane: str
    assignment: Assignment
    utilization_before: float
    decimation: Mapping[str, int] | None = None
    moves: tuple[Move, ...] = ()
    chains: ChainsVerdict | None = None


class Admission:
    """The steps from a spec to an answer. Holds no task; asks and changes nothing but caches.

    Args:
        spec: device, lanes, arena and roots.
        backends: by name, for their offline halves; all that the lanes name.
        profiles: measured budgets.
        cache_dir: prepared and compiled networks.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        backends: Mapping[str, Backend],
        profiles: ProfileStore,
        cache_dir: Path,
    ) -> None:
        """Keep what the steps need."""
        self._spec = spec
        self._backends = dict(backends)
        self._classes = lane_classes(spec.device)
        self._profiles = profiles
        self._cache_dir = cache_dir
        self._lanes = tuple(lane.name for lane in spec.device.lanes)

    def prepare(self, spec: TaskSpec, measure: Measure | None) -> Options:
        """Locate, check and fuse the network, then compile it and find its budget for each class.

        A network whose number of segments is to be chosen is whole until :meth:`cut_to_fit`.

        Args:
            spec: the task; one that names no lane is prepared for every class of lanes.
            measure: called to measure a missing profile, with a task that names a lane of the
                class; ``None`` where that is not possible now.

        Raises:
            Refusal: the first step that says no, if no class of lanes can run it.
        """
        classes = self.lane_classes(spec)
        prepared = self._prepared(spec)

        def on(lanes: LaneClass) -> Candidate:
            compiled = self._compiled(spec, prepared, lanes, spec.segments or 1)
            return self._with_budget(spec, prepared, compiled, lanes, measure)

        return _options([partial(on, each) for each in classes])

    def network(self, spec: TaskSpec) -> tuple[PreparedNetwork, CompiledNetwork]:
        """Return a task's network for the first of its lane classes; no budget is asked for.

        Raises:
            Refusal: the network cannot be used there.
        """
        lanes = self.lane_classes(spec)[0]
        prepared = self._prepared(spec)
        return prepared, self._compiled(spec, prepared, lanes, spec.segments or 1)

    def lane_classes(self, spec: TaskSpec) -> tuple[LaneClass, ...]:
        """Return the classes of the lanes that a task may go to.

        Raises:
            Refusal: it names a lane that does not exist.
        """
        if spec.lane and spec.lane not in self._lanes:
            raise Refusal(NoSuchLane(spec.name, spec.lane, self._lanes))
        return tuple(each for each in self._classes if not spec.lane or spec.lane in each.lanes)

    def _prepared(self, spec: TaskSpec) -> PreparedNetwork:
        try:
            path = resolve_model(spec.model, self._spec.models.roots)
            found = digest(path)
            if spec.sha256 and found != spec.sha256:
                raise ModelError(
                    "the file is not the one that was declared",
                    where="sha256",
                    value=found,
                    expected=spec.sha256,
                    rule=Rule.MODEL_DIGEST,
                    hint="Restore the file, or declare its new digest",
                )
            prepared = prepare(
                path,
                feeds(spec),
                cache_dir=self._cache_dir,
                dimensions=spec.dimensions,
                model_digest=found,
            )
        except AegisError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except OSError as error:
            raise Refusal(ModelUnreadable(spec.name, spec.model, str(error))) from error
        self._check_decoder(spec, prepared)
        problem = stand_in_problem(spec, prepared)
        if problem is not None:
            raise Refusal(problem)
        return prepared

    def _compiled(
        self, spec: TaskSpec, prepared: PreparedNetwork, lanes: LaneClass, parts: int
    ) -> CompiledNetwork:
        backend = self._backends[lanes.backend]
        if len(prepared.inputs) > backend.capabilities.inputs:
            too_many = (
                f"inputs: the network has {len(prepared.inputs)} inputs, and backend "
                f"{backend.name} takes at most {backend.capabilities.inputs}"
            )
            raise Refusal(Invalid(spec.name, Rule.SCHEMA, too_many))
        try:
            return backend.compile(prepared, self._cache_dir, parts)
        except AegisError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except OSError as error:
            raise Refusal(ModelUnreadable(spec.name, spec.model, str(error))) from error

    def cut_to_fit(
        self,
        options: Options,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        awaited: Sequence[AnalysisTask],
        measure: Measure | None,
        *,
        estimate: bool = False,
        decimation: int = 1,
    ) -> Options:
        """Return the task in the fewest of 1, 2, 4 and 8 segments that more urgent tasks can bear.

        On each class of lanes by itself. A task of best effort that cannot stay whole gets as many
        of them as its cut allows. A task whose number of segments is declared, and one that would
        not fit however finely it were cut, is returned as it is.

        Args:
            options: whole, as :meth:`prepare` returns it.
            admitted: as for :meth:`decide`.
            awaited: tasks that are known to come; they count where they leave any time at all.
            measure: as for :meth:`prepare`.
            estimate: take the budgets of segments that cannot be measured now from the whole's.
            decimation: n where the task is to take every n-th frame.

        Raises:
            Refusal: segments would have to be measured, and that is not possible now.
        """
        return options.each(
            lambda one: self._cut(
                one, admitted, awaited, measure, estimate=estimate, decimation=decimation
            )
        )

    def _cut(
        self,
        candidate: Candidate,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        awaited: Sequence[AnalysisTask],
        measure: Measure | None,
        *,
        estimate: bool,
        decimation: int,
    ) -> Candidate:
        if candidate.spec.segments or candidate.compiled.segments > 1:
            return candidate
        task = candidate.analysis_task(decimation)
        known: dict[int, Candidate] = {}
        tried: CutReason | None = None
        for coming in (awaited, ()):
            checks = self._blocking_checks(task, candidate.lanes, admitted, coming)
            if any(check.fits(task) for check in checks):
                break
            blocked = [check for check in checks if not check.waits(task)]
            for parts in reversed(SEGMENT_COUNTS) if task.best_effort else SEGMENT_COUNTS:
                if not any(check.fits(task.cut(parts)) for check in blocked):
                    continue
                if parts not in known:
                    known[parts] = self._in_segments(candidate, parts, measure, estimate)
                cut = known[parts]
                if cut.compiled.segments != parts and task.best_effort:
                    tried = _note(cut)
                    continue
                if cut.compiled.segments != parts:
                    return replace(candidate, cut=_note(cut))
                for check in blocked:
                    if check.fits(cut.analysis_task(decimation)):
                        return replace(cut, cut=_why_cut(candidate, cut, check))
                tried = _why_whole(cut, blocked)
        return replace(candidate, cut=tried)

    def foresee(self, tasks: Sequence[Options]) -> list[Foreseen]:
        """Return tasks as they will be cut and placed when they are registered one by one.

        Budgets of segments that were never measured are estimated from the whole's.

        Args:
            tasks: as :meth:`prepare` returns them.

        Raises:
            Refusal: a network cannot be compiled again.
        """
        admitted: dict[str, tuple[AnalysisTask, str]] = {}
        cut: dict[str, Options] = {}
        for index, options in enumerate(tasks):
            coming = [item.candidates[0].analysis_task() for item in tasks[index + 1 :]]
            own = self.cut_to_fit(options, admitted, coming, None, estimate=True)
            name = own.spec.name
            cut[name] = own
            movable = {each: cut[each].by_lane() for each in admitted if not cut[each].spec.lane}
            found = self._place(own, admitted, movable, at_rest=True)
            if found is None:
                # Rejected ones are waited for by nobody; decimated ones are.
                decimations = {
                    each: Decimation(1, item.spec.decimation_limit) for each, item in cut.items()
                }
                with_fewer = self._with_fewer_frames(own, admitted, decimations)
                if with_fewer is None:
                    finer = self.cut_for_fewer_frames(options, admitted, decimations, None)
                    with_fewer = self._with_fewer_frames(finer, admitted, decimations)
                    cut[name] = own if with_fewer is None else finer
                if with_fewer is not None:
                    lane = with_fewer.lane
                    admitted[name] = (cut[name].on(lane).analysis_task(), lane)
                continue
            for move in found.moves:
                admitted[move.task] = (movable[move.task][move.after], move.after)
            lane = found.assignment.lane_of[name]
            admitted[name] = (own.on(lane).analysis_task(), lane)
        return [
            Foreseen(options.on(lane) if lane else options.candidates[0], lane)
            for name, options in cut.items()
            for lane in [admitted[name][1] if name in admitted else ""]
        ]

    def cut_for_fewer_frames(
        self,
        options: Options,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        decimations: Mapping[str, Decimation],
        measure: Measure | None,
        *,
        estimate: bool = True,
    ) -> Options:
        """Return a task cut for what others can bear once all that may be decimated are.

        Args:
            options: as for :meth:`cut_to_fit`, and so with the rest.
            admitted: for each running task, how the tests see it and its lane.
            decimations: of the running tasks that may be decimated.
            measure: called to measure a missing profile.
            estimate: take the budgets of segments that cannot be measured now from the whole's.

        Raises:
            Refusal: as :meth:`cut_to_fit`.
        """
        spare = self.most_decimated(admitted, decimations)
        decimation = options.spec.decimation_limit
        return self.cut_to_fit(
            options, spare, (), measure, estimate=estimate, decimation=decimation
        )

    def most_decimated(
        self,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        decimations: Mapping[str, Decimation],
    ) -> dict[str, tuple[AnalysisTask, str]]:
        """Return the running tasks at the lowest rates they may have."""
        return {
            name: (
                _with_decimation(task, own, own.limit) if (own := decimations.get(name)) else task,
                lane,
            )
            for name, (task, lane) in admitted.items()
        }

    def decide(
        self,
        options: Options,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        memory: Sequence[Holding],
        decimations: Mapping[str, Decimation] | None = None,
        *,
        movable: Mapping[str, Options] | None = None,
        at_rest: bool = False,
        frames: Footprint = _NOTHING,
    ) -> tuple[Candidate, Admitted]:
        """Test arena and schedulability beside what runs already.

        Where the task fits on no lane, a running one is moved to another lane so that it does, if
        that is possible; else frames of tasks of low criticality are left out.

        Args:
            options: the new task.
            admitted: for each running task, how the tests see it and its lane.
            memory: what is in memory for the running tasks.
            decimations: of the running tasks that may be decimated.
            movable: the running tasks that may move.
            at_rest: whether no job has been released yet.
            frames: slots that the stream of the task needs beyond those that are there.

        Returns:
            The task with the budget and the cut of its lane, and the proof.

        Raises:
            Refusal: it does not fit, with the numbers and what would help.
        """
        options = options.each(lambda one: self._loadable(one, memory, frames))
        spec = options.spec
        task = options.candidates[0].analysis_task()
        tasks = [item for item, _ in admitted.values()]
        fixed = {name: lane for name, (_, lane) in admitted.items()}
        switch_ns = self._spec.device.switch_ns
        movable = movable or {}
        budgets = {name: each.by_lane() for name, each in movable.items()}
        found = self._place(options, admitted, budgets, at_rest=at_rest)
        if found is not None and found.moves:
            # What moves is in memory twice for a while; counted beside everything else.
            twice = [movable[move.task].on(move.after).holding(move.after) for move in found.moves]
            lane = found.assignment.lane_of[task.name]
            own = [options.on(lane).holding(lane), Holding((task.name,), frames)]
            if held([*memory, *twice, *own]).total > self._spec.device.arena_bytes:
                found = None
        shared = {} if decimations is None else decimations
        if found is not None:
            lane = found.assignment.lane_of[task.name]
            calm = all(
                shared[name].n == 1
                for name, (_, where) in admitted.items()
                if where == lane and name in shared
            )
            fits = Admitted(lane, found.assignment, self._before(admitted, lane), moves=found.moves)
            if calm or spec.criticality is Criticality.BEST_EFFORT:
                return options.on(lane), fits
        with_fewer = self._with_fewer_frames(options, admitted, shared)
        if with_fewer is not None:
            return options.on(with_fewer.lane), with_fewer
        if found is not None:
            return options.on(lane), fits
        rejected = assign(
            [*tasks, task],
            self._lanes,
            switch_ns=switch_ns,
            fixed=fixed,
            budgets={task.name: options.by_lane()},
        )
        lane = rejected.lane_of[task.name]
        verdict = rejected.verdicts[lane]
        raise Refusal(
            NotSchedulable(
                task=task.name,
                rule=verdict.rule,
                lane=lane,
                lanes=len(self._lanes),
                test=verdict.test,
                finding=verdict.finding,
                cut=options.on(lane).cut,
                utilization_before=self._before(admitted, lane),
                utilization_after=verdict.utilization,
                witness=verdict.witness,
                counterfactuals=self._changes(options, admitted, lane),
            )
        )

    def _place(
        self,
        options: Options,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        movable: Budgets,
        *,
        at_rest: bool,
    ) -> Relocated | None:
        """Return where a task fits beside what runs, moved to other lanes if need be."""
        task = options.candidates[0].analysis_task()
        own = {task.name: options.by_lane()}
        switch_ns = self._spec.device.switch_ns
        found = assign(
            [*(item for item, _ in admitted.values()), task],
            self._lanes,
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
            self._lanes,
            budgets={**movable, **own},
            switch_ns=switch_ns,
            at_rest=at_rest,
        )

    def _before(self, admitted: Mapping[str, tuple[AnalysisTask, str]], lane: str) -> float:
        """Return how much of a lane is used by what runs there."""
        running = [item for item, where in admitted.values() if where == lane]
        return _utilization(running, self._spec.device.switch_ns)

    def _loadable(
        self, candidate: Candidate, memory: Sequence[Holding], frames: Footprint
    ) -> Candidate:
        """Return a candidate with the lanes on which its network can be loaded and run.

        Raises:
            Refusal: its early exit is not possible in this cut, or the arena is full.
        """
        problem = early_exit_problem(candidate.spec, candidate.prepared, candidate.compiled)
        if problem is not None:
            raise Refusal(problem)
        stream = Holding((candidate.spec.name,), frames)
        budget = self._spec.device.arena_bytes
        after = {
            lane: held([*memory, stream, candidate.holding(lane)]).total for lane in candidate.lanes
        }
        able = tuple(lane for lane, total in after.items() if total <= budget)
        if not able:
            least = min(candidate.lanes, key=after.__getitem__)
            raise Refusal(self._arena_full(candidate, least, memory, stream))
        return replace(candidate, lanes=able)

    def _changes(
        self, options: Options, admitted: Mapping[str, tuple[AnalysisTask, str]], first: str
    ) -> tuple[Counterfactual, ...]:
        """Return changes that would admit a task, those on the lanes it comes closest to first."""
        found: dict[tuple[str, str], Counterfactual] = {}
        for candidate in sorted(options.candidates, key=lambda each: first not in each.lanes):
            for change in self._changes_on(candidate, admitted):
                # The task itself is reported once, for the class it is closest to.
                about = change.task if change.change in ("drop", "segments") else ""
                found.setdefault((change.change, about), change)
        return tuple(found.values())

    def _changes_on(
        self, candidate: Candidate, admitted: Mapping[str, tuple[AnalysisTask, str]]
    ) -> tuple[Counterfactual, ...]:
        task, lanes = candidate.analysis_task(), candidate.lanes
        switch_ns = self._spec.device.switch_ns
        there = {name: item for name, (item, lane) in admitted.items() if lane in lanes}
        fixed = {name: admitted[name][1] for name in there}
        return (
            *advise_cuts(
                task,
                # One that is leaving has a name no task can have.
                {name: item for name, item in there.items() if " " not in name},
                lambda kept: admits(
                    [*kept, *(item for item in there.values() if " " in item.name), task],
                    lanes,
                    switch_ns=switch_ns,
                    fixed=fixed,
                ),
            ),
            *(
                _as_declared(change, candidate.spec)
                for change in counterfactuals(
                    [*there.values(), task],
                    task.name,
                    lanes,
                    switch_ns=switch_ns,
                    fixed=fixed,
                    reserve_ns=candidate.spec.output.publish_ns,
                )
                # Where the number is not declared, all have been tried on the network itself.
                if change.change != "segments" or candidate.spec.segments
            ),
        )

    def _with_fewer_frames(
        self,
        options: Options,
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        decimations: Mapping[str, Decimation],
    ) -> Admitted | None:
        """Return how a task fits where frames are left out, on the lane that loses least by it."""
        spec = options.spec
        if spec.criticality is Criticality.BEST_EFFORT:
            return None  # nobody gives up a promise for what has none
        limits = {name: own.limit for name, own in decimations.items()}
        limits[spec.name] = spec.decimation_limit
        switch_ns = self._spec.device.switch_ns
        full = {
            name: (_with_decimation(item, own) if (own := decimations.get(name)) else item, lane)
            for name, (item, lane) in admitted.items()
        }
        found: list[tuple[int, int, str, dict[str, int]]] = []
        for lane, task in options.by_lane().items():
            running = [item for item, where in admitted.values() if where == lane]
            if safe_removal_ns(running, 0, switch_ns=switch_ns) is None:
                continue  # no instant is certain from which on the lane runs at other rates
            together = [*(item for item, where in full.values() if where == lane), task]
            decimation = find_decimation(
                together,
                limits,
                [lane],
                switch_ns=switch_ns,
                fixed={item.name: lane for item in together},
            )
            if decimation is not None:
                most_out = max(decimation.values(), default=1)
                found.append((most_out, sum(decimation.values()), lane, decimation))
        if not found:
            return None
        _, _, lane, decimation = min(found, key=lambda item: item[:2])
        task = options.by_lane()[lane]
        running = [
            item if where != lane else decimated([full[name][0]], decimation)[0]
            for name, (item, where) in admitted.items()
        ]
        fixed = {name: where for name, (_, where) in admitted.items()} | {task.name: lane}
        assignment = assign(
            [*running, *decimated([task], decimation)],
            self._lanes,
            switch_ns=switch_ns,
            fixed=fixed,
        )
        if not assignment.schedulable:
            return None
        before = self._before(admitted, lane)
        return Admitted(lane, replace(assignment, method="least decimation"), before, decimation)

    def profile_key(self, spec: TaskSpec, compiled: CompiledNetwork) -> ProfileKey:
        """Return the key of the profile of a task's network, on the first of its lane classes."""
        return self._profile_key(compiled, self.lane_classes(spec)[0])

    def profile_key_of(self, candidate: Candidate) -> ProfileKey:
        """Return the key of the profile that a candidate's budget is from, if it was measured."""
        return self._profile_key(candidate.compiled, self._class_of(candidate))

    def _profile_key(self, compiled: CompiledNetwork, lanes: LaneClass) -> ProfileKey:
        backend = self._backends[lanes.backend]
        device = ", ".join(filter(None, (backend.device_name(), lanes.share)))
        return ProfileKey(compiled.profile_key, backend.name, device)

    def _class_of(self, candidate: Candidate) -> LaneClass:
        return next(each for each in self._classes if candidate.lanes[0] in each.lanes)

    @staticmethod
    def _check_decoder(spec: TaskSpec, prepared: PreparedNetwork) -> None:
        try:
            create_decoder(
                spec.output.decoder,
                spec.output.options,
                spec.main_preprocess,
                decoded_outputs(spec, prepared),
                prepared.metadata,
            )
        except ModelError as error:
            raise Refusal(Invalid(spec.name, error.rule, str(error))) from error
        except AegisError as error:
            raise Refusal(Invalid(spec.name, Rule.DECODER, str(error))) from error

    def _with_budget(
        self,
        spec: TaskSpec,
        prepared: PreparedNetwork,
        compiled: CompiledNetwork,
        lanes: LaneClass,
        measure: Measure | None,
    ) -> Candidate:
        there = (spec.lane,) if spec.lane else lanes.lanes
        shares = self._backends[lanes.backend].capabilities.shares_activations
        note = _as_declared_cut(spec, compiled)
        if spec.wcet_ns:
            return Candidate(
                spec,
                prepared,
                compiled,
                plan_for(
                    spec, compiled, cut_budget(spec.wcet_ns, compiled.segments, compiled.shares)
                ),
                "declared",
                DeclaredBudget(spec.wcet_ns),
                note,
                there,
                shares,
            )
        key = self._profile_key(compiled, lanes)
        profile = self._profiles.get(key)
        if profile is None or profile.samples_ns.shape[1] != compiled.segments:
            if measure is None:
                raise Refusal(
                    NoProfile(spec.name, key.device, compiled.segments, bool(spec.segments))
                )
            measure(replace(spec, lane=there[0]), compiled, key, prepared.digest)
            profile = self._profiles.get(key)
            if profile is None:
                raise Refusal(ProfileUnreadable(spec.name))
        budgets = profile.budgets()
        longest = max(budgets, key=lambda item: item.value_ns)
        basis: BudgetBasis = MeasuredBudget(longest.sentence)
        total_ns = 0
        if len(budgets) > 1:
            total_ns = profile.total_ns()
            decided = profile.deciding_total()[1].sentence
            basis = SegmentsBudget(len(budgets), decided, longest.value_ns)
        return Candidate(
            spec,
            prepared,
            compiled,
            plan_for(spec, compiled, tuple(item.value_ns for item in budgets), total_ns),
            "measured",
            basis,
            note,
            there,
            shares,
        )

    def _in_segments(
        self, whole: Candidate, parts: int, measure: Measure | None, estimate: bool
    ) -> Candidate:
        lanes = self._class_of(whole)
        compiled = self._compiled(whole.spec, whole.prepared, lanes, parts)
        if compiled.segments != parts:
            return replace(whole, compiled=compiled)
        try:
            return self._with_budget(whole.spec, whole.prepared, compiled, lanes, measure)
        except Refusal:
            if not estimate:
                raise
        return replace(
            whole,
            compiled=compiled,
            plan=plan_for(
                whole.spec, compiled, estimated_budget(whole.work_ns, parts, compiled.shares)
            ),
            wcet_source="estimated",
            wcet_basis=EstimatedBudget(parts, whole.wcet_basis),
        )

    def _blocking_checks(
        self,
        task: AnalysisTask,
        lanes: Sequence[str],
        admitted: Mapping[str, tuple[AnalysisTask, str]],
        awaited: Sequence[AnalysisTask],
    ) -> list[BlockingCheck]:
        switch_ns = self._spec.device.switch_ns
        checks = []
        for lane in lanes:
            others = tuple(item for item, where in admitted.values() if where == lane)
            # Of those that may go anywhere, it is not known yet whom they will meet.
            coming = [
                item
                for item in awaited
                if item.name != task.name and (item.lane == lane or self._lanes == (lane,))
            ]
            tolerance = blocking_tolerance([*others, *coming], task, switch_ns)
            checks.append(BlockingCheck(others, tolerance, switch_ns))
        return checks

    def _arena_full(
        self, candidate: Candidate, lane: str, memory: Sequence[Holding], stream: Holding
    ) -> ArenaFull:
        """Return why a task cannot be loaded on the lane on which it takes least."""
        budget, name = self._spec.device.arena_bytes, candidate.spec.name
        own = [stream, candidate.holding(lane)]
        used, total = held(memory).total, held([*memory, *own]).total
        changes: list[Change] = [ArenaLarger(name, -(-total // _MIB))]
        tasks = sorted({task for each in memory for task in each.holders})
        freed = {task: total - held([*without(memory, task), *own]).total for task in tasks}
        enough = sorted((size, task) for task, size in freed.items() if total - size <= budget)
        if enough:
            size, task = enough[0]
            changes.append(DropForArena(name, task, size))
        largest = sorted(((size, task) for task, size in freed.items()), reverse=True)
        kinds = candidate.footprint + stream.footprint
        return ArenaFull(
            name,
            total - used,
            used,
            budget,
            tuple(counterfactual(each) for each in changes),
            ArenaShares(kinds.weights, kinds.activations, kinds.state, kinds.staging),
            tuple(Holder(task, size) for size, task in largest[:_HOLDERS_SHOWN] if size),
        )


def _options(attempts: Sequence[Callable[[], Candidate]], barred: Sequence[Reason] = ()) -> Options:
    """Return the candidates that can be had.

    Raises:
        Refusal: the first, where there is none.
    """
    found: list[Candidate] = []
    refusals: list[Refusal] = []
    for attempt in attempts:
        try:
            found.append(attempt())
        except Refusal as refusal:
            refusals.append(refusal)
    if not found:
        raise refusals[0]
    return Options(tuple(found), (*barred, *(refusal.reason for refusal in refusals)))


def _as_declared_cut(spec: TaskSpec, compiled: CompiledNetwork) -> CutReason | None:
    if compiled.note:
        return CutNote(compiled.note)
    return CutAsDeclared(compiled.segments) if spec.segments > 1 else None


def _note(cut: Candidate) -> CutReason | None:
    return CutNote(cut.compiled.note) if cut.compiled.note else None


def _why_cut(whole: Candidate, cut: Candidate, check: BlockingCheck) -> CutReason:
    waiting, tolerance_ns = check.tolerates()
    return CutForOthers(
        cut.plan.steps, max(cut.plan.budgets_ns), whole.work_ns, waiting, tolerance_ns
    )


def _why_whole(cut: Candidate, checks: Sequence[BlockingCheck]) -> CutReason:
    waiting, tolerance_ns = max((check.tolerates() for check in checks), key=lambda item: item[1])
    return CutNotWorth(cut.plan.steps, max(cut.plan.budgets_ns), waiting, tolerance_ns)


def _as_declared(change: Counterfactual, spec: TaskSpec) -> Counterfactual:
    """Return a change of the tests' deadline as one of the declared deadline."""
    if change.change != "deadline_ms":
        return change
    deadline_ns = round(change.value * 1e6) + spec.output.publish_ns
    return counterfactual(DeadlineLonger(spec.name, deadline_ns))


def _with_decimation(task: AnalysisTask, own: Decimation, decimation: int = 1) -> AnalysisTask:
    """Return a task that is decimated with every n-th frame instead."""
    return replace(task, period_ns=task.period_ns // own.n * decimation)


def _utilization(tasks: Sequence[AnalysisTask], switch_ns: int) -> float:
    promised, _ = by_promise(tasks)
    return sum(task.wcet_ns(switch_ns) / task.period_ns for task in promised)
