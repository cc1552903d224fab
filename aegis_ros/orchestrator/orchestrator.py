"""The orchestrator: what a robot asks of it, and in which order its parts answer; no ROS.

Usable as a library::

    orchestrator = Orchestrator(load_config(path), state_dir=Path("state"), ...)
    orchestrator.configure()
    orchestrator.activate()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from aegis_ros.analysis import AnalysisTask, decimated
from aegis_ros.backends import create_backends
from aegis_ros.config import parse_task, to_mapping
from aegis_ros.device import DeviceState
from aegis_ros.engine import (
    Engine,
    EngineClient,
    EngineEvent,
    EngineInfo,
    JobResult,
    JobSkip,
    PartialResult,
    SlotFrame,
)
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.errors import AegisError, ConfigError, StateError
from aegis_ros.memory import Holding, held
from aegis_ros.network import TensorInfo
from aegis_ros.orchestrator.admitted import AdmittedSet, Entry
from aegis_ros.orchestrator.answers import admission_reason
from aegis_ros.orchestrator.chains import Chains
from aegis_ros.orchestrator.decimator import Decimator
from aegis_ros.orchestrator.engine_events import EngineEvents
from aegis_ros.orchestrator.intake import FedTask, FrameTimes, Intake, first_origin
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.moving import Mover
from aegis_ros.orchestrator.profiling import Profiler
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.recording import (
    TraceRecorder,
    begin_trace,
    trace_ring,
    traced_task,
)
from aegis_ros.orchestrator.silent_topics import SilentTopics, TopicCount
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.orchestrator.summaries import Summaries, task_state
from aegis_ros.orchestrator.thermal import Thermal
from aegis_ros.orchestrator.timers import Timers
from aegis_ros.orchestrator.types import (
    OrchestratorState,
    Registration,
    Stream,
)
from aegis_ros.planning.admission import decide
from aegis_ros.planning.candidate import Candidate, Options
from aegis_ros.planning.feeds import decoded_outputs
from aegis_ros.planning.lane_choice import Admitted
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.segment_choice import cut_for_fewer_frames, cut_to_fit
from aegis_ros.rationale import Rationale, Reason, ResultCode, Rule, result_code
from aegis_ros.rationale.decimation import DecimationCause
from aegis_ros.rationale.engine import NotUnloaded
from aegis_ros.rationale.rejection import (
    ChainLate,
    CriticalRunning,
    Failed,
    Followed,
    Invalid,
    NameTaken,
    NoSuchTask,
    NotConfigured,
    TooManyTasks,
)
from aegis_ros.rationale.requests import (
    FileDecides,
    JournalUnreadable,
    NotTraced,
    StoreDamaged,
    TaskDisabled,
    TaskEnabled,
    TaskRemoved,
)
from aegis_ros.spec import Criticality, OrchestratorSpec, TaskSpec
from aegis_ros.trace.states import RunState
from aegis_ros.wcet import ProfileStore

__all__ = ["Orchestrator"]

_MAX_TASKS = 256


class Orchestrator:
    """Admits, runs and explains. Methods may be called from any thread unless they say otherwise.

    Args:
        spec: configuration.
        state_dir: journal, profiles and caches live here.
        on_result: called with every finished job by the engine's reader thread; must release it.
        on_rationale: called with every decision.
        on_streams: called with the streams to subscribe to whenever tasks or activity change.
        check_topics: raises ``ConfigError`` for a task whose topics cannot be used.
        on_partial: called with outputs that a job has completed before its end; they are valid
            until the call returns.
        join_origins: returns the origin of a job from those of its frames (none for a timer without
            inputs) and the job's own times.
        engine_factory: makes the engine from the device and the callbacks.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        *,
        state_dir: Path,
        on_result: Callable[[TaskSpec, JobResult], None],
        on_rationale: Callable[[Rationale], None] = lambda rationale: None,
        on_streams: Callable[[tuple[Stream, ...]], None] = lambda streams: None,
        check_topics: Callable[[TaskSpec], None] = lambda spec: None,
        on_partial: Callable[[TaskSpec, PartialResult], None] = lambda spec, partial: None,
        join_origins: Callable[[Sequence[object], FrameTimes], object] = first_origin,
        engine_factory: Callable[..., Engine] = EngineClient,
    ) -> None:
        """Open journal and profile store; nothing runs yet.

        Raises:
            ConfigError: there is no such backend, or it cannot have such lanes.
            StateError, ProfileError: ``state_dir`` cannot be used.
        """
        self.spec = spec
        self._recorder: TraceRecorder | None = None
        self._trace = trace_ring(spec.trace)
        self._trace_folder = state_dir / "traces"
        self._on_rationale = on_rationale
        self.log = RationaleLog(self._decided)
        self._on_result = on_result
        self._on_streams = on_streams
        self._on_partial = on_partial
        self._check_topics = check_topics
        self._backends = create_backends(spec.device)
        self._journal = Journal(state_dir / "journal.sqlite")
        self._profiles = ProfileStore(state_dir / "profiles.sqlite")
        self._preparation = Preparation(spec, self._backends, self._profiles, state_dir / "cache")
        self._admitted = AdmittedSet(spec.device)
        self._events = EngineEvents(self._admitted, self.log, spec.device)
        self._engine = engine_factory(
            spec.device,
            on_result=self._result,
            on_skip=self._skipped,
            on_event=self._engine_event,
            on_overrun=self._events.overran,
            on_restored=self._events.lane_restored,
            on_partial=self._partial,
            **({} if self._trace is None else {"trace": self._trace}),
        )
        self._info: EngineInfo | None = None
        self._admin = threading.RLock()  # one request at a time changes the set
        self._loader = Loader(self._engine, spec)
        self._summaries = Summaries(self._admitted, spec.device)
        self.profiler = Profiler(
            self._engine,
            self._preparation,
            self._profiles,
            self.log,
            spec.device,
            lock=self._admin,
            undisturbed=self._require_undisturbed,
        )
        self._next_id = 1
        self._configured = False
        self._active = False
        self._awaited: dict[str, AnalysisTask] = {}  # to be registered while it is configured
        self._thermal = Thermal(self.log, spec.device.switch_ns)
        self._decimator = Decimator(self._admitted, self.log, spec.device)
        self._silent_topics = SilentTopics(self.log)
        self._mover = Mover(
            self._admitted,
            self._loader,
            self.log,
            new_id=self._new_id,
            announce=self._publish_tables,
            changed=self._set_changed,
            unload=self._unload,
        )
        self.intake = Intake(self.log, self._submit, join_origins)
        self._timers = Timers(self.intake.tick)
        self.chains = Chains(self._admitted, self._loader.channel, self.log, self._submit)

    # -- life ---------------------------------------------------------------------------------

    def configure(self, *, admit: bool = True) -> tuple[Registration, ...]:
        """Start the engine and admit the configured tasks, then those of the journal.

        A task that is rejected does not affect the others; each gets its answer.

        Args:
            admit: whether to admit anything; without, networks can be measured.

        Raises:
            EngineError: the engine does not start.
            StateError: already configured.
        """
        with self._admin:
            if self._configured:
                raise StateError("the orchestrator is already configured")
            self._info = self._engine.start()
            self._configured = True
            if self._trace is not None:
                self._begin_trace(self._trace, self._info)
            if not admit:
                return ()
            in_file = {task.name for task in self.spec.tasks}
            remembered, problems = self._journal.tasks()
            self._await(
                [*self.spec.tasks, *(task for task in remembered if task.name not in in_file)]
            )
            answers = [
                self._register(task, from_file=True) for task in _firsts_first(self.spec.tasks)
            ]
            for problem in problems:
                self.log.report(JournalUnreadable(problem))
            for what, aside in (
                ("the journal of admitted tasks", self._journal.moved_aside),
                ("the store of WCET profiles", self._profiles.moved_aside),
            ):
                if aside is not None:
                    self.log.report(StoreDamaged(what, str(aside)))
            for name in sorted(in_file & {task.name for task in remembered}):
                self.log.report(FileDecides(name))
            answers += [
                self._register(task, from_file=False)
                for task in _firsts_first(remembered)
                if task.name not in in_file
            ]
            return tuple(answers)

    def activate(self) -> None:
        """Let frames in.

        Raises:
            StateError: not configured.
        """
        with self._admin:
            self._require_configured()
            self._active = True
            self.intake.open = True
            self._on_streams(self.intake.streams())

    def deactivate(self) -> None:
        """Keep everything loaded and let no frame in."""
        with self._admin:
            self._active = False
            self.intake.open = False
            self._on_streams(self.intake.streams())

    def cleanup(self) -> None:
        """End the engine and give everything back; the journal stays."""
        with self._admin:
            self.deactivate()
            self.intake.replace({})
            self._timers.close()
            for entry in self._admitted:
                entry.joint.close()
            self._engine.stop()
            recorder, self._recorder = self._recorder, None
            if recorder is not None:
                recorder.close()
            self._admitted.clear()
            self._loader.clear()
            self._summaries.clear()
            self._events.shedding.clear()
            self._thermal.forget()
            self._decimator.forget()
            self._configured = False
            self._info = None
            self._on_streams(())

    # -- requests -----------------------------------------------------------------------------

    def register(self, spec: TaskSpec) -> Registration:
        """Admit a task, all or nothing; a rejection leaves everything as it was."""
        with self._admin:
            return self._register(spec, from_file=False)

    def evaluate(self, spec: TaskSpec, without: Sequence[str] = ()) -> Registration:
        """Return what :meth:`register` would answer, and change nothing.

        Args:
            spec: the task.
            without: admitted tasks to leave out in the question.
        """
        with self._admin:
            try:
                self._require_known(spec.name, without)
                options, candidate, admitted = self._judge(spec, without=without, measure=False)
            except Refusal as refusal:
                return self._refused(refusal.reason, publish=False)
            except AegisError as error:
                return self._refused(Invalid(spec.name, error.rule, str(error)), publish=False)
            return self._accepted(candidate, admitted, options, task_id=0, publish=False)

    def unregister(self, name: str) -> Registration:
        """Remove a task. Its capacity is given away once its last job can delay nobody more."""
        with self._admin:
            entry = self._admitted.get(name)
            if entry is None:
                return self._unknown(name)
            followers = self._admitted.followers(name)
            if followers:
                return self._refused(Followed(name, followers))
            try:
                if not entry.from_file:
                    self._journal.remove(name)
            except StateError as error:
                return self._refused(Invalid(name, error.rule, str(error)))
            self._decimator.leaves(entry)
            self._admitted.remove(entry)
            self._publish_tables()
            self.log.forget(name)
            self._set_changed()
            self._unload(entry)
            lane, task = entry.lane, entry.candidate.analysis_task()
            rationale = self.log.report(
                TaskRemoved(
                    name,
                    lane,
                    entry.from_file,
                    utilization_before=self._admitted.utilization(lane, [task]),
                    utilization_after=self._admitted.utilization(lane),
                )
            )
            self._refresh_paces()
            return Registration(True, ResultCode.DONE, entry.task_id, rationale)

    def set_enabled(self, name: str, enabled: bool) -> Registration:
        """Stop or resume feeding a task; its capacity stays reserved."""
        with self._admin:
            entry = self._admitted.get(name)
            if entry is None:
                return self._unknown(name)
            entry.fed.enabled = enabled
            kind = TaskEnabled if enabled else TaskDisabled
            rationale = self.log.report(kind(name, entry.lane, self._admitted.share(entry)))
            return Registration(True, ResultCode.DONE, entry.task_id, rationale)

    def device_changed(self, state: DeviceState) -> None:
        """Decimate and shed at once what a slower device cannot run; undo it with hysteresis.

        To be called about once a second, whether something changed or not. A task that is shed
        stays admitted and gets no frames.

        Args:
            state: what a :class:`~aegis_ros.device.DeviceMonitor` reads.

        Raises:
            ConfigError: the speed is not above 0.
        """
        entries = tuple(self._admitted)  # no lock: it must not wait while a network is measured
        lanes: dict[str, list[AnalysisTask]] = {}
        for entry in entries:
            lanes.setdefault(entry.lane, []).append(entry.candidate.analysis_task())
        slowed = self._thermal.changed(
            state, lanes, time.monotonic_ns(), self._admitted.decimations()
        )
        self._engine.set_speed(state.clock_factor)
        for entry in entries:
            entry.fed.shed = entry.spec.name in slowed.shed
        self._decimator.slowed(slowed.decimations, state.clock_factor)
        self._silent_topics.watch(
            [
                TopicCount(
                    entry.spec.name,
                    entry.spec.topics,
                    entry.spec.period_ns,
                    entry.statistics.received,
                )
                for entry in entries
                if self._active
                and entry.fed.enabled
                and not entry.fed.shed
                and entry.spec.sources
                and not entry.spec.timed
            ],
            time.monotonic_ns(),
        )
        recorder = self._recorder
        if recorder is not None:
            recorder.state(self._run_state(state))
        self._refresh_paces()

    def fail(self, name: str, reason: Reason) -> None:
        """Mark a task that the outside cannot serve as failed, and report why."""
        entry = self._admitted.get(name)
        if entry is not None:
            entry.failed = True
            self.log.report_often(reason)

    # -- figures ------------------------------------------------------------------------------

    @property
    def on_cores(self) -> bool:
        """Whether all lanes compute on the processor's cores, and none on a device of its own."""
        return all(each.capabilities.on_cores for each in self._backends.values())

    @property
    def active(self) -> bool:
        """Whether frames are let in."""
        return self._active

    def published(
        self,
        task_id: int,
        response_ns: int,
        execution_ns: int,
        met: bool,
        *,
        seq: int = -1,
        handed_ns: int = 0,
        decoded_ns: int = 0,
        due_ns: int = 0,
    ) -> None:
        """Count a result that was handed to the middleware.

        Args:
            task_id: number of the task.
            response_ns: from arrival until now.
            execution_ns: lane time of the job.
            met: whether the deadline was.
            seq: number of the job, -1 for not known.
            handed_ns: when the engine's client handed its result out, 0 for not known.
            decoded_ns: when its outputs were decoded (monotonic), 0 for not known.
            due_ns: until when it was kept for its constant latency, 0 for not at all.
        """
        now = time.monotonic_ns()
        entry = self._admitted.of_id(task_id)
        if entry is not None:
            # Where no deadline is promised, the result is as old as it is, and nobody is let down.
            kept = met or entry.spec.criticality is Criticality.BEST_EFFORT
            entry.statistics.published(now, response_ns, execution_ns, kept)
        recorder = self._recorder
        if recorder is not None and seq >= 0:
            recorder.published(task_id, seq, decoded_ns, now, handed_ns=handed_ns, due_ns=due_ns)

    def status(self) -> OrchestratorState:
        """Return everything as it is now; also publishes events that were folded."""
        # No lock: a registration that measures a profile must not stop the diagnostics.
        self.log.flush()
        engine = self._engine.status()
        return OrchestratorState(
            self._active,
            self._info,
            engine,
            self.spec.device.arena_bytes,
            held(self._memory()).total,
            self._summaries.lanes(engine.lanes),
            tuple(self._summaries.task(entry, self._events.shedding) for entry in self._admitted),
        )

    def network_facts(self, name: str) -> tuple[tuple[TensorInfo, ...], Mapping[str, str]]:
        """Return the outputs and the metadata of an admitted task's network, for its decoder.

        Raises:
            StateError: there is no such task.
        """
        entry = self._admitted.get(name)
        if entry is None:
            raise StateError("there is no such task", value=name)
        prepared = entry.candidate.prepared
        return decoded_outputs(entry.spec, prepared), prepared.metadata

    # -- inside: admission --------------------------------------------------------------------

    def _judge(
        self, spec: TaskSpec, without: Sequence[str], measure: bool
    ) -> tuple[Options, Candidate, Admitted]:
        if not self._configured:
            raise Refusal(NotConfigured(spec.name))
        if self._admitted.get(spec.name) is not None and spec.name not in without:
            raise Refusal(NameTaken(spec.name))
        try:
            # Whoever builds a spec by hand is held to what a file is held to.
            parse_task(to_mapping(spec), "task")
        except (AegisError, AttributeError, TypeError, ValueError) as error:
            raise Refusal(Invalid(spec.name, Rule.SCHEMA, str(error))) from error
        try:
            self._check_topics(spec)
        except ConfigError as error:
            raise Refusal(Invalid(spec.name, Rule.TOPIC_TYPE, str(error))) from error
        if len(self._admitted) - len(set(without)) >= _MAX_TASKS:
            raise Refusal(TooManyTasks(spec.name, _MAX_TASKS))
        may_measure = measure and not self._critical_running()
        measuring = self.profiler.measure_for if may_measure else None
        first = self._admitted.get(spec.follows) if spec.follows else None
        if spec.follows and (first is None or spec.follows in without):
            raise Refusal(self._no_such(spec.name, spec.follows))
        options = self._preparation.prepare(spec, measuring)
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
        judge = partial(
            decide,
            device=self.spec.device,
            admitted=running,
            memory=self._memory(without),
            decimations=decimations,
            movable=self._admitted.movable(without),
            at_rest=self._admitted.at_rest(),
            frames=self._loader.frames_for(spec, self._admitted),
        )
        try:
            candidate, admitted = judge(options)
            return options, candidate, self._with_chains(candidate, admitted, running)
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
            candidate, admitted = judge(cut)
            return cut, candidate, self._with_chains(candidate, admitted, running)

    def _with_chains(
        self,
        candidate: Candidate,
        admitted: Admitted,
        running: Mapping[str, tuple[AnalysisTask, str]],
    ) -> Admitted:
        """Return an admission with the proof of all chains.

        Raises:
            Refusal: a chain could be late.
        """
        name, factors = candidate.spec.name, admitted.decimation or {}
        together = dict(running)
        for move in admitted.moves:  # with the budget of the lane it goes to
            entry = self._admitted.get(move.task)
            assert entry is not None and entry.options is not None
            there = entry.options.on(move.after).analysis_task(entry.decimation)
            together[move.task] = (there, move.after)
        together[name] = (candidate.analysis_task(), admitted.lane)
        together = {
            each: (decimated([task], factors)[0], lane) for each, (task, lane) in together.items()
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

    def _memory(self, without: Sequence[str] = ()) -> list[Holding]:
        """Return what is in memory for the admitted tasks."""
        entries = [entry for entry in self._admitted if entry.spec.name not in without]
        return [*self._admitted.holdings(without), *self._loader.holdings(entries)]

    def _await(self, specs: Sequence[TaskSpec]) -> None:
        """Note all that will be registered, so that the first are cut for the sake of the last."""
        self._awaited = {}
        if len(specs) < 2 or all(spec.segments for spec in specs):
            return
        for spec in specs:
            with suppress(Refusal, AegisError):  # reported when it is registered
                options = self._preparation.prepare(spec, self.profiler.measure_for)
                self._awaited[spec.name] = options.candidates[0].analysis_task()

    def _register(self, spec: TaskSpec, from_file: bool) -> Registration:
        self._awaited.pop(spec.name, None)
        try:
            options, candidate, admitted = self._judge(spec, without=(), measure=True)
        except Refusal as refusal:
            return self._refused(refusal.reason)
        except AegisError as error:
            return self._refused(Invalid(spec.name, error.rule, str(error)))
        try:
            for move in admitted.moves:
                self._mover.move(move, spec.name)
        except (AegisError, OSError, MemoryError) as error:
            return self._refused(Failed(spec.name, str(error) or repr(error)))
        statistics = TaskStatistics()
        task_id = self._new_id()
        entry = Entry(
            task_id,
            candidate,
            admitted.lane,
            self._loader.streams_for(spec, self._admitted),
            FedTask(task_id, spec, statistics),
            statistics,
            from_file,
            options=options,
        )
        try:
            loaded = self._loader.load(entry)
        except (AegisError, OSError, MemoryError) as error:
            return self._refused(Failed(spec.name, str(error) or repr(error)))
        if not from_file:
            try:
                self._journal.add(spec)
            except StateError as error:
                self._unload(entry)
                return self._refused(Invalid(spec.name, error.rule, str(error)))
        slower = self._decimator.joins(entry, admitted.decimation)
        self._admitted.add(entry)
        self._set_changed()
        self._publish_tables()
        answer = self._accepted(candidate, admitted, options, task_id, publish=True, loaded=loaded)
        self._decimator.report(
            slower, DecimationCause.ADMITTED, spec.name, related=answer.rationale.id
        )
        return answer

    def _begin_trace(self, memory: SharedMemory, info: EngineInfo) -> None:
        def ended(problem: str) -> None:
            self.log.report(NotTraced(problem, begun=True))

        try:
            self._recorder = begin_trace(self.spec, memory, self._trace_folder, info, ended)
        except ConfigError as error:
            self.log.report(NotTraced(str(error), begun=False))

    def _run_state(self, device: DeviceState) -> RunState:
        engine, shedding = self._engine.status(), self._events.shedding
        lanes = [lane.name for lane in self.spec.device.lanes]
        return RunState(
            time.monotonic_ns(),
            held(self._memory()).total,
            self.spec.device.arena_bytes,
            device.clock_factor,
            device.temperature_c,
            device.throttled,
            device.source,
            engine.pid,
            engine.restarts,
            {name: state.waiting for name, state in zip(lanes, engine.lanes, strict=False)},
            tuple(name for name in lanes if name in shedding),
            {entry.spec.name: str(task_state(entry, shedding)) for entry in self._admitted},
        )

    def _decided(self, rationale: Rationale) -> None:
        if self._recorder is not None:
            self._recorder.rationale(rationale)
        self._on_rationale(rationale)

    def _engine_event(self, event: EngineEvent) -> None:
        if self._recorder is not None:
            self._recorder.lost(event.lost)
        self._events.engine_event(event)
        for task_id, seq in event.lost:
            entry = self._admitted.of_id(task_id)
            if entry is not None and entry.fed.followed:
                self.chains.missed(entry.spec.name, seq)

    def _accepted(
        self,
        candidate: Candidate,
        admitted: Admitted,
        options: Options,
        task_id: int,
        *,
        publish: bool,
        loaded: str = "",
    ) -> Registration:
        name = candidate.spec.name
        others = [each.spec for each in self._admitted if each.spec.name != name]
        reason = admission_reason(
            candidate,
            admitted,
            options,
            others,
            lanes=len(self.spec.device.lanes),
            load_note=loaded,
        )
        rationale = self.log.make(reason)
        if publish:
            self.log.record(rationale)
        return Registration(
            True,
            ResultCode.ADMITTED,
            task_id,
            rationale,
            reason.utilization_before,
            reason.utilization_after,
            rationale.right,
            reason.bound_ns,
            candidate.analysis_task().deadline_ns,
        )

    def _refresh_paces(self) -> None:
        """Lower decimation where it is no longer needed, and return what there is to report."""
        if not self._admin.acquire(blocking=False):  # a network is measured: next time
            return
        try:
            if self._decimator.refresh():
                self._set_changed()
        finally:
            self._admin.release()

    def _refused(self, reason: Reason, publish: bool = True) -> Registration:
        rationale = self.log.make(reason)
        if publish:
            self.log.record(rationale)
        return Registration(
            False,
            result_code(reason.rule),
            0,
            rationale,
            rationale.utilization_before,
            rationale.utilization_after,
            rationale.right,
        )

    def _unknown(self, name: str) -> Registration:
        return self._refused(self._no_such(name, name))

    def _no_such(self, task: str, name: str) -> NoSuchTask:
        known = tuple(sorted(entry.spec.name for entry in self._admitted))
        return NoSuchTask(task[:64], name[:64], known)

    def _require_configured(self) -> None:
        if not self._configured:
            raise StateError("the orchestrator is not configured", hint="Configure it first")

    def _require_known(self, task: str, names: Sequence[str]) -> None:
        for name in names:
            if self._admitted.get(name) is None:
                raise Refusal(self._no_such(task, name))

    def _require_undisturbed(self, task: str) -> None:
        self._require_configured()
        if self._critical_running():
            raise Refusal(CriticalRunning(task))

    def _critical_running(self) -> bool:
        return self._active and any(
            entry.spec.criticality is Criticality.HIGH and entry.fed.enabled
            for entry in self._admitted
        )

    def _new_id(self) -> int:
        """Return an id that no task has had, in the engine and in traces."""
        self._next_id += 1
        return self._next_id - 1

    # -- inside: what is loaded ---------------------------------------------------------------

    def _unload(self, entry: Entry) -> None:
        entry.joint.close()
        try:
            self._loader.unload(entry, self._admitted)
        except AegisError as error:
            self.log.report(NotUnloaded(entry.spec.name, str(error)))
        self._admitted.forget(entry)

    def _publish_tables(self) -> None:
        self.intake.replace(self._loader.tables(self._admitted))
        self._timers.replace([entry.joint for entry in self._admitted if entry.spec.timed])
        self._on_streams(self.intake.streams())

    def _set_changed(self) -> None:
        """Give engine and trace what is proven now: who comes or goes changes it for the others."""
        for index, lane in enumerate(self.spec.device.lanes):
            self._engine.set_critical_scaling(index, self._admitted.critical_scaling(lane.name))
        if self._recorder is not None:
            for entry in self._admitted:
                self._recorder.task(traced_task(entry, self._admitted.bound_ns(entry)))

    def _submit(
        self,
        frames: Sequence[SlotFrame],
        times: FrameTimes,
        jobs: list[tuple[int, int, int, int]],
        origin: object,
    ) -> None:
        recorder = self._recorder
        if recorder is not None:
            recorder.frame([job[:2] for job in jobs], times.stamped_ns, times.ready_ns)
        self._engine.submit(frames, times.received_ns, jobs, origin=origin)

    # -- inside: what the engine reports ------------------------------------------------------

    def _skipped(self, skip: JobSkip) -> None:
        self._events.skipped(skip)
        entry = self._admitted.of_id(skip.task_id)
        if entry is not None and entry.fed.followed:
            self.chains.missed(entry.spec.name, skip.seq)

    def _partial(self, partial: PartialResult) -> None:
        entry = self._admitted.of_id(partial.task_id)
        if entry is not None:
            self._on_partial(entry.spec, partial)

    def _result(self, result: JobResult) -> None:
        entry = self._admitted.of_id(result.task_id)
        if entry is None:
            result.release()
            return
        entry.statistics.early_exits += result.early_exit
        self._on_result(entry.spec, result)


def _firsts_first(specs: Iterable[TaskSpec]) -> list[TaskSpec]:
    """Return tasks in their order, but each after the one whose results trigger it."""
    waiting, ordered = list(specs), []
    while waiting:
        names = {spec.name for spec in waiting}
        ready = [spec for spec in waiting if spec.follows not in names]
        ordered += ready or waiting  # a loop: whatever comes first is rejected
        waiting = [spec for spec in waiting if spec not in ordered]
    return ordered
