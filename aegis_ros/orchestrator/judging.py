"""Whether a task may run beside those that are admitted, with the proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from aegis_ros.analysis import AnalysisTask, check_lane, decimated
from aegis_ros.backends import CompiledNetwork, capabilities_of
from aegis_ros.config import parse_task, to_mapping
from aegis_ros.errors import AegisError, ConfigError
from aegis_ros.memory import Holding, arena_plan
from aegis_ros.orchestrator.admissions import Ticket
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.generators import Generators
from aegis_ros.orchestrator.lane_loads import LaneLoads
from aegis_ros.orchestrator.lifecycle import Lifecycle
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.profiling import Profiler
from aegis_ros.planning.admission import decide
from aegis_ros.planning.arena_witness import arena_full
from aegis_ros.planning.candidate import Candidate, Options, loaded_footprint
from aegis_ros.planning.chain_source import require_boxes
from aegis_ros.planning.contention import MeasurePair, Placed, Verify
from aegis_ros.planning.lane_choice import Admitted, least_slack
from aegis_ros.planning.others_late import require_others_in_time
from aegis_ros.planning.preparation import Measure, Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.segment_choice import cut_for_fewer_frames, cut_to_fit
from aegis_ros.planning.streaming import fewer_resident
from aegis_ros.rationale import Rule
from aegis_ros.rationale.rejection import (
    ChainLate,
    Invalid,
    NameTaken,
    NoSuchTask,
    NotConfigured,
    OthersLate,
    TooManyTasks,
)
from aegis_ros.spec import Contend, DeviceSpec, TaskSpec
from aegis_ros.wcet import ProfileKey, Stress

__all__ = ["CheckTopics", "Judge", "no_such_task"]

_Decide = Callable[[Options, Mapping[str, tuple[AnalysisTask, str]]], tuple[Candidate, Admitted]]
CheckTopics = Callable[[TaskSpec, Sequence[TaskSpec]], None]

_MAX_TASKS = 256


class Judge:
    """Asks every step that can say no, and changes nothing.

    For the request that has its turn. Tasks may be removed meanwhile, which no proof minds.

    Args:
        device: lanes and arena.
        lifecycle: nothing is admitted before it is configured.
        admitted: the tasks.
        loader: knows what frames take.
        preparation: prepares and cuts networks.
        profiler: measures budgets that are not known.
        check_topics: raises ``ConfigError`` for a task whose topics cannot be used beside those
            of other tasks.
        generators: give way to tasks.
        loads: what loads lanes while tasks are measured on others; ``None`` for nothing.
    """

    def __init__(
        self,
        *,
        device: DeviceSpec,
        lifecycle: Lifecycle,
        admitted: AdmittedSet,
        loader: Loader,
        preparation: Preparation,
        profiler: Profiler,
        check_topics: CheckTopics,
        generators: Generators,
        loads: LaneLoads | None = None,
    ) -> None:
        """Await no task."""
        self._generators = generators
        self._loads = loads
        self._device = device
        self._lifecycle = lifecycle
        self._admitted = admitted
        self._loader = loader
        self._preparation = preparation
        self._profiler = profiler
        self._check_topics = check_topics
        self._awaited: dict[str, AnalysisTask] = {}  # to be registered while it is configured

    def expect(self, specs: Sequence[tuple[TaskSpec, Ticket]]) -> None:
        """Note all that will be registered, so that the first are cut for the sake of the last."""
        self._awaited = {}
        if len(specs) < 2 or all(spec.segments for spec, _ in specs):
            return
        for spec, ticket in specs:
            with suppress(Refusal, AegisError), ticket.ahead():  # reported when it is registered
                options = self._preparation.prepare(spec, self._measuring(ticket))
                self._awaited[spec.name] = options.candidates[0].analysis_task()

    def arrived(self, name: str) -> None:
        """Await a task no longer: it is registered now."""
        self._awaited.pop(name, None)

    def judge(
        self, spec: TaskSpec, ticket: Ticket, *, without: Sequence[str] = (), measure: bool
    ) -> tuple[Options, Candidate, Admitted]:
        """Return a task as it may run, with the proof.

        Args:
            spec: the task.
            ticket: of the request.
            without: admitted tasks to leave out in the question.
            measure: whether a missing budget may be measured now.

        Returns:
            The task on all lanes it may go to, on its lane, and the proof.

        Raises:
            Refusal: the first step that says no.
            AegisError: a step fails.
        """
        if not self._lifecycle.configured:
            raise Refusal(NotConfigured(spec.name))
        taken = self._admitted.get(spec.name) is not None or spec.name in self._generators
        if taken and spec.name not in without:
            raise Refusal(NameTaken(spec.name))
        try:
            # Whoever builds a spec by hand is held to what a file is held to.
            parse_task(to_mapping(spec), "task")
        except (AegisError, AttributeError, TypeError, ValueError) as error:
            raise Refusal(Invalid(spec.name, Rule.SCHEMA, str(error))) from error
        try:
            self._check_topics(
                spec, [each.spec for each in self._admitted if each.spec.name not in without]
            )
        except ConfigError as error:
            raise Refusal(Invalid(spec.name, Rule.TOPIC_TYPE, str(error))) from error
        if len(self._admitted) - len(set(without)) >= _MAX_TASKS:
            raise Refusal(TooManyTasks(spec.name, _MAX_TASKS))
        may_measure = measure and not self._lifecycle.critical_running(self._admitted)
        measuring = self._measuring(ticket) if may_measure else None
        first = self._admitted.get(spec.follows) if spec.follows else None
        if spec.follows and (first is None or spec.follows in without):
            raise Refusal(no_such_task(self._admitted, spec.name, spec.follows))
        if first is not None:
            require_boxes(first.spec, "trigger.task")
        room = self._device.arena_bytes - arena_plan(self.memory(without, new=spec)).nbytes
        options = self._preparation.prepare(spec, measuring, room)
        if first is not None:
            jitter_ns = self._admitted.bound_ns(first)
            options = options.each(lambda one: replace(one, chain_jitter_ns=jitter_ns))
        running = self._admitted.running(without)
        options = cut_to_fit(
            options,
            running,
            tuple(self._awaited.values()),
            measuring,
            preparation=self._preparation,
            estimate=not measure,
        )
        decimations = self._admitted.decimations(without)
        decide_on = partial(
            decide,
            device=self._device,
            memory=self.memory(without, new=spec),
            decimations=decimations,
            movable=self._admitted.movable(without),
            at_rest=self._admitted.at_rest(),
        )

        def decided(options: Options) -> tuple[Options, Candidate, Admitted]:
            if self._preparation.contention.present:
                pairs = self._profiler.measuring_pairs(ticket) if may_measure else None
                return self._beside(options, without, pairs, decide_on, whole=measuring)
            return options, *self._decided(options, running, decide_on)

        try:
            return decided(options)
        except Refusal:
            cut = cut_for_fewer_frames(
                options,
                running,
                decimations,
                measuring,
                preparation=self._preparation,
                estimate=not measure,
            )
            if cut.segments == options.segments:
                raise
            return decided(cut)

    def memory(self, without: Sequence[str] = (), new: TaskSpec | None = None) -> list[Holding]:
        """Return what is in memory for the admitted tasks, and for the frames of a new one."""
        entries = [entry for entry in self._admitted if entry.spec.name not in without]
        generators = [
            each for each in self._generators.holdings() if each.holders[0] not in without
        ]
        return [
            *self._admitted.holdings(without),
            *self._loader.holdings(entries, new),
            *generators,
        ]

    def _measuring(self, ticket: Ticket) -> Measure:
        """Return what measures a network, which is loaded for that, if the arena has room for it.

        Where it can lie with others of its lane, its activations are not counted.
        """
        measure, arena = self._profiler.measuring(ticket), self._device.arena_bytes

        def where_there_is_room(
            spec: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
        ) -> None:
            shares = capabilities_of(compiled.backend).shares_activations
            beside = self.memory(new=spec)

            def together(network: CompiledNetwork) -> list[Holding]:
                own = loaded_footprint(network)
                if shares:
                    own = replace(own, activations=0)
                return [*beside, Holding((spec.name,), own, spec.lane)]

            def fits(network: CompiledNetwork) -> bool:
                return arena_plan(together(network)).nbytes <= arena

            if not fits(compiled):
                full = arena_full(spec.name, [together(compiled)], arena)
                fewer = fewer_resident(spec.name, compiled, fits)
                raise Refusal(replace(full, counterfactuals=(*fewer, *full.counterfactuals)))
            measure(spec, compiled, key, sha256)

        return where_there_is_room

    def _beside(
        self,
        options: Options,
        without: Sequence[str],
        measure: MeasurePair | None,
        decide_on: _Decide,
        *,
        whole: Measure | None,
    ) -> tuple[Options, Candidate, Admitted]:
        """Return the task on the lane on which it and all others hold best beside each other.

        Budgets are those of each placement, so each lane is tried, and nobody is moved. What counts
        is that it takes every frame, or most of them, and then the least slack of all tasks.

        Raises:
            Refusal: there is no such lane; says whom it would make late where it would.
        """
        able = {lane for each in options.candidates for lane in each.lanes}
        refusals: list[Refusal] = []
        verify = self._verify(measure)

        def tried(lane: str, by: Verify | None) -> tuple[Options, Candidate, Admitted] | None:
            try:
                return self._on_lane(
                    options,
                    lane,
                    without,
                    measure=measure,
                    decide_on=decide_on,
                    whole=whole,
                    verify=by,
                )
            except Refusal as refusal:
                refusals.append(refusal)
                return None

        found = {
            each.name: answer
            for each in self._device.lanes
            if each.name in able and (answer := tried(each.name, None)) is not None
        }
        best_first = sorted(
            found.items(),
            key=lambda item: (
                -max((item[1][2].decimation or {}).values(), default=1),
                least_slack(item[1][2].assignment),
            ),
            reverse=True,
        )
        for lane, by_pairs in best_first:
            answer = by_pairs if verify is None else tried(lane, verify)
            if answer is None:
                continue
            one, candidate, admitted = answer
            if len(able) > 1 and not admitted.decimation:
                best = replace(admitted.assignment, method="largest least slack")
                admitted = replace(admitted, assignment=best)
            return one, candidate, admitted
        raise next((each for each in refusals if isinstance(each.reason, OthersLate)), refusals[0])

    def _on_lane(
        self,
        options: Options,
        lane: str,
        without: Sequence[str],
        *,
        measure: MeasurePair | None,
        decide_on: _Decide,
        whole: Measure | None,
        verify: Verify | None,
    ) -> tuple[Options, Candidate, Admitted]:
        """Return the task on one lane, with the budgets that all have beside each other then.

        Raises:
            Refusal: it or another task would be late.
        """
        contention, placed = self._preparation.contention, self._admitted.placed(without)
        one, grown = contention.placed(options, lane, placed, measure, verify=verify)
        running = self._admitted.running(without, grown)
        finer = self._cut_beside(one, running, whole)
        if finer.segments != one.segments:
            one, grown = contention.placed(finer, lane, placed, measure, verify=verify)
            running = self._admitted.running(without, grown)
        require_others_in_time(one, lane, running, placed=placed, grown=grown, device=self._device)
        candidate, admitted = self._decided(one, running, decide_on)
        unknown = contention.declared_as_they_are(Placed(candidate, lane), placed)
        return one, candidate, replace(admitted, grown=grown, unknown=unknown)

    def _verify(self, measure: MeasurePair | None) -> Verify | None:
        """Return what is measured beyond pairs; nothing where nothing can be, or pairs have to do.

        It is measured on the lane that is best by the pairs only: it takes seconds for each task.
        """
        if measure is None or self._device.contention is Contend.PAIRS:
            return None
        loads = self._loads

        def load(lane: str) -> Mapping[Stress, CompiledNetwork]:
            return {} if loads is None else loads.on(lane, partial(self._room, lane))

        return Verify(measure, load)

    def _room(self, lane: str) -> int:
        """Return what of the arena is left for a load, where all lanes beside have one."""
        left = self._device.arena_bytes - arena_plan(self.memory()).nbytes
        return left // max(1, len(self._preparation.contention.slowed_by(lane)))

    def _cut_beside(
        self,
        options: Options,
        running: Mapping[str, tuple[AnalysisTask, str]],
        measure: Measure | None,
    ) -> Options:
        """Return a task cut where it is too long for others of its lane only beside other lanes."""
        try:
            return cut_to_fit(options, running, (), measure, preparation=self._preparation)
        except Refusal:  # its segments cannot be measured now: the tests see it whole
            return options

    def _decided(
        self,
        options: Options,
        running: Mapping[str, tuple[AnalysisTask, str]],
        decide_on: _Decide,
    ) -> tuple[Candidate, Admitted]:
        """Return the task on the first lane on which no chain could be late, with all proofs.

        Raises:
            Refusal: there is no such lane; says why not on the first that was tried.
        """
        first: Refusal | None = None
        left: Options | None = options
        while left is not None:
            try:
                candidate, admitted = decide_on(left, running)
                return candidate, self._with_all(candidate, admitted, running)
            except Refusal as refusal:
                first = first or refusal
                late = refusal.reason
                left = left.off(late.lane) if isinstance(late, ChainLate) else None
        assert first is not None
        raise first

    def _with_all(
        self,
        candidate: Candidate,
        admitted: Admitted,
        running: Mapping[str, tuple[AnalysisTask, str]],
    ) -> Admitted:
        """Return an admission with the proof of all chains, beside what generators may do then.

        Raises:
            Refusal: a chain could be late.
        """
        name, factors = candidate.spec.name, admitted.decimation or {}
        together = dict(running)
        for move in admitted.moves:  # with the budget of the lane it goes to
            entry = self._admitted.get(move.task)
            if entry is None or entry.options is None:
                continue  # removed meanwhile
            there = entry.options.on(move.after).analysis_task(entry.decimation)
            together[move.task] = (there, move.after)
        together[name] = (candidate.analysis_task(), admitted.lane)
        together = {
            each: (decimated([task], factors)[0], lane) for each, (task, lane) in together.items()
        }
        admitted = self._with_generators(admitted, together)
        together |= {
            each.step_name: (each.step(), each.generator.lane)
            for each in admitted.generators
            if each.admitted
        }
        try:
            proven = self._admitted.judge_chains(together, candidate)
        except ConfigError as error:
            raise Refusal(Invalid(name, Rule.SCHEMA, str(error))) from error
        if proven is None:
            return admitted
        if not proven.schedulable:
            late = next(
                (each for each in proven.bounds if 0 < each.deadline_ns < each.latency_ns), None
            )
            raise Refusal(
                ChainLate(
                    name,
                    admitted.lane,
                    proven.findings,
                    0 if late is None else late.latency_ns,
                    0 if late is None else late.deadline_ns,
                )
            )
        # Bounds of this proof: its jitters are those with the new task.
        verdicts = {**admitted.assignment.verdicts, **proven.verdicts}
        assignment = replace(admitted.assignment, verdicts=verdicts)
        return replace(admitted, assignment=assignment, chains=proven)

    def _with_generators(
        self, admitted: Admitted, together: Mapping[str, tuple[AnalysisTask, str]]
    ) -> Admitted:
        """Return an admission with what generators may do beside it, which its bounds count."""
        answers = self._generators.beside(together)
        steps: dict[str, list[AnalysisTask]] = {}
        for each in answers:
            if each.admitted:
                steps.setdefault(each.generator.lane, []).append(each.step())
        verdicts = dict(admitted.assignment.verdicts)
        for lane, own in steps.items():
            if lane in verdicts:
                tasks = [task for task, where in together.values() if where == lane]
                verdicts[lane] = check_lane(
                    [*tasks, *own], lane=lane, switch_ns=self._device.switch_ns
                )
        assignment = replace(admitted.assignment, verdicts=verdicts)
        return replace(admitted, assignment=assignment, generators=answers)


def no_such_task(admitted: Iterable[Entry], task: str, name: str) -> NoSuchTask:
    """Return why a request that names a task which is not admitted is rejected.

    Args:
        admitted: the tasks.
        task: the one that the request is about.
        name: the one that is not there.
    """
    known = tuple(sorted(entry.spec.name for entry in admitted))
    return NoSuchTask(task[:64], name[:64], known)
