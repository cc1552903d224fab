"""The orchestrator: registry, admission, arena and engine client in one; no ROS.

Usable as a library::

    orchestrator = Orchestrator(load_config(path), state_dir=Path("state"), ...)
    orchestrator.configure()
    orchestrator.activate()
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from aegis_ros.analysis import AnalysisTask, LaneVerdict, breakdown, check_lane, safe_removal_ns
from aegis_ros.backends import CompiledNetwork, create_backend
from aegis_ros.config import parse_task, task_to_mapping
from aegis_ros.device import DeviceState
from aegis_ros.engine import (
    Channel,
    ChannelSpec,
    EngineClient,
    EngineEvent,
    EngineInfo,
    JobResult,
    LoadSpec,
    OverrunEvent,
)
from aegis_ros.errors import AegisError, ConfigError, StateError
from aegis_ros.network import TensorInfo
from aegis_ros.orchestrator.admission import Admission, Admitted, Candidate, Refusal, max_shape
from aegis_ros.orchestrator.intake import FedTask, Intake, StreamTable
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.measuring import Measurement, measure_batch
from aegis_ros.orchestrator.rationales import RationaleLog, overrun_sentence
from aegis_ros.orchestrator.statistics import TaskStatistics
from aegis_ros.orchestrator.thermal import Thermal
from aegis_ros.orchestrator.types import (
    LaneSummary,
    OrchestratorState,
    ProfileOutcome,
    Registration,
    ResultCode,
    Stream,
    TaskState,
    TaskSummary,
    result_code,
)
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.spec import Criticality, OrchestratorSpec, TaskSpec
from aegis_ros.wcet import Profile, ProfileKey, ProfileStore

__all__ = ["Orchestrator"]

_MAX_TASKS = 256
_PROFILE_RUNS = 300
_PROFILE_SECONDS = 10.0
_PROFILE_LEAST_RUNS = 50
_SPARE_SLOTS = 6  # beyond what the tasks of the file can hold
_NEVER_NS = 1 << 62
_MOST_ROOM = 20.0  # what takes longer is taken for hung
_LEAST_SPARE_SLOTS = 2  # being written, or on the way back


@dataclass
class _Entry:
    """An admitted task with everything that belongs to it."""

    task_id: int
    candidate: Candidate
    lane: str
    stream: Stream
    fed: FedTask
    statistics: TaskStatistics
    from_file: bool
    failed: bool = False

    @property
    def spec(self) -> TaskSpec:
        return self.candidate.spec


class Orchestrator:
    """Admits, runs and explains. Methods may be called from any thread unless they say otherwise.

    Args:
        spec: configuration.
        state_dir: journal, profiles and caches live here.
        on_result: told every finished job by the engine's reader thread; must release it.
        on_rationale: told every decision.
        on_streams: told the streams to subscribe to whenever tasks or activity change.
        check_topics: raises ``ConfigError`` for a task whose topics cannot be used.
        engine_factory: for tests.
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
        engine_factory: Callable[..., EngineClient] = EngineClient,
    ) -> None:
        """Open journal and profile store; nothing runs yet.

        Raises:
            ConfigError: there is no such backend.
            StateError, ProfileError: ``state_dir`` cannot be used.
        """
        self.spec = spec
        self.log = RationaleLog(on_rationale)
        self._on_result = on_result
        self._on_streams = on_streams
        self._check_topics = check_topics
        self._backend = create_backend(spec.device.backend)
        self._journal = Journal(state_dir / "journal.sqlite")
        self._profiles = ProfileStore(state_dir / "profiles.sqlite")
        self._admission = Admission(spec, self._backend, self._profiles, state_dir / "cache")
        self._engine = engine_factory(
            spec.device,
            on_result=self._result,
            on_skip=self._skipped,
            on_event=self._engine_event,
            on_overrun=self._overran,
            on_restored=self._lane_restored,
        )
        self._info: EngineInfo | None = None
        self._admin = threading.RLock()  # one request at a time changes the set
        self._entries: dict[str, _Entry] = {}
        self._by_id: dict[int, _Entry] = {}
        self._channels: dict[str, Channel] = {}
        self._leaving: list[tuple[int, AnalysisTask, str]] = []
        self._next_id = 1
        self._configured = False
        self._active = False
        self._busy_before: dict[int, tuple[int, int]] = {}
        self._shedding: set[str] = set()  # lanes that refuse what is below high criticality
        self._verdicts: dict[str, LaneVerdict] = {}
        self._awaited: dict[str, AnalysisTask] = {}  # to be registered while it is configured
        self._thermal = Thermal(self.log, spec.device.switch_ns)
        self.intake = Intake(self.log, self._submit)

    # -- life ---------------------------------------------------------------------------------

    def configure(self, *, admit: bool = True) -> tuple[Registration, ...]:
        """Start the engine and admit the configured tasks, then those of the journal.

        A task that is rejected does not keep the others out; the answers tell.

        Args:
            admit: whether to admit anything; without, networks can be measured.

        Raises:
            EngineError: the engine does not start.
            StateError: already configured.
        """
        with self._admin:
            if self._configured:
                raise StateError("the orchestrator is configured already")
            self._info = self._engine.start()
            self._configured = True
            if not admit:
                return ()
            in_file = {task.name for task in self.spec.tasks}
            remembered, problems = self._journal.tasks()
            self._await(
                [*self.spec.tasks, *(task for task in remembered if task.name not in in_file)]
            )
            answers = [self._register(task, from_file=True) for task in self.spec.tasks]
            for problem in problems:
                self.log.tell("", Decision.INFORMED, Rule.SCHEMA, problem)
            for what, aside in (
                ("the journal of admitted tasks", self._journal.moved_aside),
                ("the store of WCET profiles", self._profiles.moved_aside),
            ):
                if aside is not None:
                    self.log.tell(
                        "",
                        Decision.INFORMED,
                        Rule.STATE,
                        f"{what} was damaged; it was moved to {aside} and begun anew",
                    )
            for name in sorted(in_file & {task.name for task in remembered}):
                self.log.tell(
                    name,
                    Decision.INFORMED,
                    Rule.DUPLICATE_NAME,
                    f"{name} was also admitted through a service earlier; the configuration file "
                    "has the last word",
                )
            answers += [
                self._register(task, from_file=False)
                for task in remembered
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
            self._engine.stop()
            self._entries.clear()
            self._by_id.clear()
            self._channels.clear()
            self._leaving.clear()
            self._busy_before.clear()
            self._shedding.clear()
            self._verdicts = {}
            self._thermal.forget()
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
                self._require_known(without)
                candidate, admitted = self._judge(spec, without=without, measure=False)
            except Refusal as refusal:
                return self._refused(spec.name, refusal, publish=False)
            except AegisError as error:
                return self._refused(spec.name, Refusal(Rule.STATE, str(error)), publish=False)
            return self._accepted(candidate, admitted, task_id=0, publish=False)

    def unregister(self, name: str) -> Registration:
        """Remove a task. Its capacity is given away once its last job can delay nobody more."""
        with self._admin:
            entry = self._entries.get(name)
            if entry is None:
                return self._unknown(name)
            try:
                if not entry.from_file:
                    self._journal.remove(name)
            except StateError as error:
                return self._refused(name, Refusal(Rule.STATE, str(error)))
            del self._entries[name]
            self._publish_tables()
            self.log.forget(name)
            task = entry.candidate.analysis_task()
            until = self._free_from_ns(entry)
            if until > time.monotonic_ns():
                self._leaving.append((until, task, entry.lane))
            self._tell_room()
            self._unload(entry)
            again = " until the orchestrator is configured again" if entry.from_file else ""
            rationale = self.log.tell(
                name,
                Decision.REMOVED,
                Rule.OPERATOR,
                f"{name} was removed on request{again}; lane {entry.lane} is used to "
                f"{self._utilization(entry.lane):.1%} from now on",
                lane=entry.lane,
                utilization_before=self._utilization(entry.lane, [task]),
                utilization_after=self._utilization(entry.lane),
            )
            return Registration(True, ResultCode.ADMITTED, entry.task_id, rationale)

    def set_enabled(self, name: str, enabled: bool) -> Registration:
        """Stop or resume feeding a task; its capacity stays reserved."""
        with self._admin:
            entry = self._entries.get(name)
            if entry is None:
                return self._unknown(name)
            entry.fed.enabled = enabled
            decision = Decision.ENABLED if enabled else Decision.DISABLED
            text = "is fed again" if enabled else "is not fed until it is enabled again"
            rationale = self.log.tell(
                name,
                decision,
                Rule.OPERATOR,
                f"{name} {text}; its {self._share(entry):.1%} of lane {entry.lane} stays reserved",
                lane=entry.lane,
            )
            return Registration(True, ResultCode.ADMITTED, entry.task_id, rationale)

    def device_changed(self, state: DeviceState) -> None:
        """Shed at once what a slower device cannot run in time; let it come back with hysteresis.

        To be called about once a second, whether something changed or not. A task that is shed
        stays admitted and gets no frames.

        Args:
            state: what a :class:`~aegis_ros.device.DeviceMonitor` reads.

        Raises:
            ConfigError: the speed is not above 0.
        """
        entries = dict(self._entries)  # no lock: this must not wait while a network is measured
        lanes: dict[str, list[AnalysisTask]] = {}
        for entry in entries.values():
            lanes.setdefault(entry.lane, []).append(entry.candidate.analysis_task())
        shed = self._thermal.changed(state, lanes, time.monotonic_ns())
        self._engine.set_speed(state.clock_factor)
        for name, entry in entries.items():
            entry.fed.shed = name in shed

    def profile(
        self, spec: TaskSpec, runs: int, on_progress: Callable[[int, int, int], bool]
    ) -> ProfileOutcome:
        """Measure a network without registering it.

        Args:
            spec: the task.
            runs: how many runs, 0 for the usual number.
            on_progress: told (runs done, runs wanted, slowest so far in nanoseconds); return False
                to stop.
        """
        runs = runs or _PROFILE_RUNS
        with self._admin:
            try:
                self._require_undisturbed()
                measured: list[Profile] = []

                def measure(
                    task: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
                ) -> None:
                    measured.append(
                        self._measure(
                            compiled,
                            key,
                            sha256,
                            runs,
                            lambda done, worst: on_progress(done, runs, worst),
                        )
                    )

                candidate = self._admission.prepare(replace(spec, wcet_ns=0), measure)
                if not measured:
                    key = self._admission.profile_key(candidate.compiled)
                    measure(spec, candidate.compiled, key, candidate.prepared.digest)
            except Refusal as refusal:
                rationale = self.log.tell(
                    spec.name, Decision.REJECTED, refusal.rule, refusal.sentence, **refusal.details
                )
                return ProfileOutcome(False, rationale)
            except AegisError as error:
                rationale = self.log.tell(
                    spec.name, Decision.REJECTED, Rule.WCET_PROFILE, str(error)
                )
                return ProfileOutcome(False, rationale)
        total = measured[0].samples_ns.sum(axis=1)
        budgets = measured[0].budgets()
        rationale = self.log.tell(
            spec.name,
            Decision.INFORMED,
            Rule.WCET_PROFILE,
            f"{spec.name} was measured: budget {sum(b.value_ns for b in budgets) / 1e6:.2f} ms, "
            f"{budgets[0].sentence}",
        )
        return ProfileOutcome(
            True,
            rationale,
            sum(item.value_ns for item in budgets),
            int(np.median(total)),
            int(total.max()),
            measured[0].runs,
        )

    def measured(self, spec: TaskSpec) -> tuple[CompiledNetwork, Profile | None]:
        """Return a task's network and what is known of its times, measuring nothing.

        Raises:
            Refusal: the network cannot be used.
            ProfileError: the profiles cannot be read.
        """
        with self._admin:
            compiled = self._admission.prepare(replace(spec, wcet_ns=1), None).compiled
            return compiled, self._profiles.get(self._admission.profile_key(compiled))

    def measure(
        self,
        spec: TaskSpec,
        runs: int,
        go_on: Callable[[int, int], bool],
        how: Measurement | None = None,
    ) -> Profile:
        """Measure a network and add the runs to what is known of it; nothing is registered.

        Args:
            spec: the task.
            runs: how many.
            go_on: told (runs done, slowest in nanoseconds); returns False to stop.
            how: condition and frames.

        Returns:
            All that was measured of it, this time and before.

        Raises:
            Refusal: the network cannot be used, or tasks of high criticality are running.
            EngineError, ProfileError, StateError: it cannot be measured or kept.
        """
        with self._admin:
            self._require_undisturbed()
            candidate = self._admission.prepare(replace(spec, wcet_ns=1), None)
            compiled = candidate.compiled
            key = self._admission.profile_key(compiled)
            lanes = [lane.name for lane in self.spec.device.lanes]
            lane = lanes.index(spec.lane) if spec.lane else 0
            batch = measure_batch(self._engine, compiled, lane, runs, go_on, how)
            profile = Profile(key, candidate.prepared.digest, (batch,))
            self._profiles.add(profile)
            return self._profiles.get(key) or profile

    def forget_measured(self, spec: TaskSpec) -> None:
        """Drop what is known of a task's times.

        Raises:
            Refusal, ProfileError: as :meth:`measured`.
        """
        with self._admin:
            compiled = self._admission.prepare(replace(spec, wcet_ns=1), None).compiled
            self._profiles.forget(self._admission.profile_key(compiled))

    def fail(self, name: str, rule: Rule, sentence: str) -> None:
        """Mark a task that the outside cannot serve as failed, and tell why."""
        entry = self._entries.get(name)
        if entry is not None:
            entry.failed = True
            self.log.tell_often(name, Decision.LOST, rule, sentence)

    # -- figures ------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether frames are let in."""
        return self._active

    def published(self, task_id: int, response_ns: int, execution_ns: int, met: bool) -> None:
        """Count a result that was handed to the middleware."""
        entry = self._by_id.get(task_id)
        if entry is not None:
            entry.statistics.published(time.monotonic_ns(), response_ns, execution_ns, met)

    def status(self) -> OrchestratorState:
        """Return everything as it is now; also publishes events that were folded."""
        # No lock: a registration that measures a profile must not stop the diagnostics.
        self.log.flush()
        entries = tuple(self._entries.values())
        return OrchestratorState(
            self._active,
            self._info,
            self._engine.status(),
            self.spec.device.arena_bytes,
            sum(entry.candidate.compiled.arena_bytes for entry in entries),
            self._lane_summaries(),
            tuple(self._summary(entry) for entry in entries),
        )

    def network_facts(self, name: str) -> tuple[tuple[TensorInfo, ...], Mapping[str, str]]:
        """Return the outputs and the metadata of an admitted task's network, for its decoder.

        Raises:
            StateError: there is no such task.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise StateError("there is no such task", value=name)
        return entry.candidate.prepared.outputs, entry.candidate.prepared.metadata

    # -- inside: admission --------------------------------------------------------------------

    def _judge(
        self, spec: TaskSpec, without: Sequence[str], measure: bool
    ) -> tuple[Candidate, Admitted]:
        if not self._configured:
            raise Refusal(
                Rule.STATE,
                "the orchestrator is not configured; configure it first "
                "(ros2 lifecycle set <node> configure)",
            )
        if spec.name in self._entries and spec.name not in without:
            raise Refusal(
                Rule.DUPLICATE_NAME,
                f"a task named {spec.name} is admitted already; unregister it first, or choose "
                "another name",
            )
        try:
            # Whoever builds a spec by hand is held to what a file is held to.
            parse_task(task_to_mapping(spec), "task")
        except (AegisError, AttributeError, TypeError, ValueError) as error:
            raise Refusal(Rule.SCHEMA, str(error)) from error
        try:
            self._check_topics(spec)
        except ConfigError as error:
            raise Refusal(Rule.TOPIC_TYPE, str(error)) from error
        if len(self._entries.keys() - set(without)) >= _MAX_TASKS:
            raise Refusal(
                Rule.LIMIT, f"{_MAX_TASKS} tasks are admitted, which is the most there can be"
            )
        may_measure = measure and not self._critical_running()
        candidate = self._admission.prepare(spec, self._measure_for if may_measure else None)
        now = time.monotonic_ns()
        self._leaving = [item for item in self._leaving if item[0] > now]
        running = {
            name: (entry.candidate.analysis_task(), entry.lane)
            for name, entry in self._entries.items()
            if name not in without
        }
        for index, (_, task, lane) in enumerate(self._leaving):
            leaving = replace(task, name=f"{task.name} (leaving {index})")
            running[leaving.name] = (leaving, lane)
        arena = {name: size for name, size in self._arena_used().items() if name not in without}
        candidate = self._admission.cut_to_fit(
            candidate,
            running,
            tuple(self._awaited.values()),
            self._measure_for if may_measure else None,
            estimate=not measure,
        )
        return candidate, self._admission.decide(candidate, running, arena)

    def _await(self, specs: Sequence[TaskSpec]) -> None:
        """Note all that will be registered, so that the first are cut for the sake of the last."""
        self._awaited = {}
        if len(specs) < 2 or all(spec.segments for spec in specs):
            return
        for spec in specs:
            with suppress(Refusal, AegisError):  # told when it is registered
                candidate = self._admission.prepare(spec, self._measure_for)
                self._awaited[spec.name] = candidate.analysis_task()

    def _register(self, spec: TaskSpec, from_file: bool) -> Registration:
        self._awaited.pop(spec.name, None)
        try:
            candidate, admitted = self._judge(spec, without=(), measure=True)
        except Refusal as refusal:
            return self._refused(spec.name, refusal)
        except AegisError as error:
            return self._refused(spec.name, Refusal(Rule.RUN_FAILED, str(error)))
        statistics = TaskStatistics()
        task_id = self._next_id
        entry = _Entry(
            task_id,
            candidate,
            admitted.lane,
            self._stream_for(spec),
            FedTask(task_id, spec, statistics),
            statistics,
            from_file,
        )
        try:
            self._load(entry)
        except (AegisError, OSError, MemoryError) as error:
            return self._refused(spec.name, Refusal(Rule.RUN_FAILED, str(error) or repr(error)))
        if not from_file:
            try:
                self._journal.add(spec)
            except StateError as error:
                self._unload(entry)
                return self._refused(spec.name, Refusal(Rule.STATE, str(error)))
        self._next_id += 1
        self._entries[spec.name] = entry
        self._by_id[task_id] = entry
        self._tell_room()
        self._publish_tables()
        return self._accepted(candidate, admitted, task_id, publish=True)

    def _accepted(
        self, candidate: Candidate, admitted: Admitted, task_id: int, publish: bool
    ) -> Registration:
        spec = candidate.spec
        verdict: LaneVerdict = admitted.assignment.verdicts[admitted.lane]
        bound = next(item for item in verdict.responses if item.task == spec.name)
        how = (
            f" (lane chosen by {admitted.assignment.method})"
            if len(self.spec.device.lanes) > 1
            else ""
        )
        rationale = self.log.make(
            spec.name,
            Decision.ADMITTED,
            Rule.DEMAND_BOUND,
            f"{spec.name} runs on lane {admitted.lane}{how}: {verdict.sentence}. Its result is due "
            f"{bound.deadline_ns / 1e6:.1f} ms after the frame and there after "
            f"{bound.bound_ns / 1e6:.1f} ms at the latest; {candidate.wcet_source} budget "
            f"{sum(candidate.wcet_ns) / 1e6:.2f} ms ({candidate.wcet_sentence})"
            + (f"; {candidate.cut_sentence}" if candidate.cut_sentence else ""),
            left=verdict.left,
            relation=verdict.relation,
            right=verdict.right,
            unit=verdict.unit,
            lane=admitted.lane,
            utilization_before=admitted.utilization_before,
            utilization_after=verdict.utilization,
            witness=verdict.witness,
            responses=verdict.responses,
        )
        if publish:
            self.log.record(rationale)
        return Registration(
            True,
            ResultCode.ADMITTED,
            task_id,
            rationale,
            admitted.utilization_before,
            verdict.utilization,
            verdict.right,
            bound.bound_ns,
            bound.deadline_ns,
        )

    def _refused(self, name: str, refusal: Refusal, publish: bool = True) -> Registration:
        rationale = self.log.make(
            name, Decision.REJECTED, refusal.rule, refusal.sentence, **refusal.details
        )
        if publish:
            self.log.record(rationale)
        return Registration(
            False,
            result_code(refusal.rule),
            0,
            rationale,
            rationale.utilization_before,
            rationale.utilization_after,
            rationale.right,
        )

    def _unknown(self, name: str) -> Registration:
        known = ", ".join(sorted(self._entries)) or "none"
        return self._refused(
            name[:64],
            Refusal(Rule.UNKNOWN_TASK, f"there is no task {name[:64]!r}; admitted: {known}"),
        )

    def _require_configured(self) -> None:
        if not self._configured:
            raise StateError("the orchestrator is not configured", mend="Configure it first")

    def _require_known(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self._entries:
                raise Refusal(Rule.UNKNOWN_TASK, f"there is no task {name[:64]!r} to leave out")

    def _require_undisturbed(self) -> None:
        self._require_configured()
        if self._critical_running():
            raise Refusal(
                Rule.STATE,
                "tasks of high criticality are running, and measuring would disturb them; "
                "deactivate the orchestrator or disable them first",
            )

    def _critical_running(self) -> bool:
        return self._active and any(
            entry.spec.criticality is Criticality.HIGH and entry.fed.enabled
            for entry in self._entries.values()
        )

    def _measure_for(
        self, spec: TaskSpec, compiled: CompiledNetwork, key: ProfileKey, sha256: str
    ) -> None:
        self.log.tell(
            spec.name,
            Decision.INFORMED,
            Rule.WCET_PROFILE,
            f"{spec.name} has no WCET profile on this device; measuring it now "
            f"({_PROFILE_RUNS} runs, {_PROFILE_SECONDS:.0f} s at most)",
        )
        end = time.monotonic() + _PROFILE_SECONDS
        self._measure(
            compiled,
            key,
            sha256,
            _PROFILE_RUNS,
            lambda done, worst: done < _PROFILE_LEAST_RUNS or time.monotonic() < end,
        )

    def _measure(
        self,
        compiled: CompiledNetwork,
        key: ProfileKey,
        sha256: str,
        runs: int,
        go_on: Callable[[int, int], bool],
    ) -> Profile:
        batch = measure_batch(self._engine, compiled, 0, runs, go_on)
        profile = Profile(key, sha256, (batch,))
        self._profiles.put(profile)
        return profile

    # -- inside: what is loaded ---------------------------------------------------------------

    def _load(self, entry: _Entry) -> None:
        key = entry.stream.key
        opened = key not in self._channels
        if opened:
            sharing = {
                task.name: task for task in self.spec.tasks if self._stream(task).key == key
            } | {entry.spec.name: entry.spec}
            slots = sum(task.queue + 1 for task in sharing.values()) + _SPARE_SLOTS
            self._channels[key] = self._engine.open_channel(
                ChannelSpec(key, entry.spec.preprocess.frame_format, max_shape(entry.spec), slots)
            )
        lanes = [lane.name for lane in self.spec.device.lanes]
        try:
            self._engine.load(
                LoadSpec(
                    entry.task_id,
                    entry.spec.name,
                    entry.candidate.compiled,
                    lanes.index(entry.lane),
                    key,
                    entry.spec.queue,
                    entry.candidate.wcet_ns,
                    entry.spec.criticality,
                    entry.spec.on_overrun,
                )
            )
        except (AegisError, OSError, MemoryError):
            if opened:
                del self._channels[key]
                with suppress(AegisError):
                    self._engine.close_channel(key)
            raise

    def _unload(self, entry: _Entry) -> None:
        try:
            self._engine.unload(entry.task_id)
            key = entry.stream.key
            used = any(other.stream.key == key for other in self._entries.values())
            if not used and self._channels.pop(key, None) is not None:
                self._engine.close_channel(key)
        except AegisError as error:
            self.log.tell(entry.spec.name, Decision.INFORMED, Rule.ENGINE_RESTART, str(error))
        self._by_id.pop(entry.task_id, None)

    def _publish_tables(self) -> None:
        self._verdicts = {lane.name: self._verdict(lane.name) for lane in self.spec.device.lanes}
        tables: dict[str, StreamTable] = {}
        for entry in self._entries.values():
            stream = entry.stream
            before = tables.get(stream.key)
            tasks = (*before.tasks, entry.fed) if before else (entry.fed,)
            tables[stream.key] = StreamTable(stream, self._channels[stream.key], tasks)
        self.intake.replace(tables)
        self._on_streams(self.intake.streams())

    def _stream_for(self, spec: TaskSpec) -> Stream:
        """Return the stream a new task shares: one that has slots for its waiting frames, too.

        Where all are full, a second subscription with slots of its own; running tasks keep theirs.
        """
        stream = self._stream(spec)
        key = stream.key
        for number in itertools.count(2):
            channel = self._channels.get(key)
            if channel is None:
                break
            held = sum(
                entry.spec.queue + 1 for entry in self._entries.values() if entry.stream.key == key
            )
            if held + spec.queue + 1 + _LEAST_SPARE_SLOTS <= channel.spec.slots:
                break
            key = f"{stream.key}|{number}"
        return replace(stream, key=key)

    @staticmethod
    def _stream(spec: TaskSpec) -> Stream:
        layout, shape = spec.preprocess.frame_format, max_shape(spec)
        size = "x".join(str(extent) for extent in shape)
        return Stream(
            f"{spec.input.topic}|{spec.input.type}|{spec.input.qos}|{layout}|{size}",
            spec.input.topic,
            spec.input.type,
            spec.input.qos,
            layout,
            shape,
        )

    def _submit(
        self,
        channel: Channel,
        slot: int,
        shape: tuple[int, ...],
        received_ns: int,
        jobs: list[tuple[int, int, int, int]],
    ) -> None:
        self._engine.submit(channel, slot, shape, received_ns, jobs)

    # -- inside: what the engine tells --------------------------------------------------------

    def _result(self, result: JobResult) -> None:
        entry = self._by_id.get(result.task_id)
        if entry is None:
            result.release()
            return
        self._on_result(entry.spec, result)

    def _skipped(self, task_id: int, seq: int, rule: Rule, text: str) -> None:
        entry = self._by_id.get(task_id)
        if entry is None:
            return
        entry.statistics.skipped += 1
        name = entry.spec.name
        sentences = {
            Rule.NEWER_FRAME: f"job {seq} of {name} was still waiting when a newer frame came",
            Rule.RUN_FAILED: f"job {seq} of {name} failed while it ran: {text}",
            Rule.OVERRUN: f"job {seq} of {name} was {text} where it exceeded its budget"
            if text
            else f"job {seq} of {name} makes up for a job of {name} that exceeded its budget",
            Rule.CRITICALITY: f"job {seq} of {name} was shed: lane {entry.lane} runs what is of "
            "high criticality only",
        }
        self.log.tell_often(
            name,
            Decision.SKIPPED,
            rule,
            sentences.get(rule, f"job {seq} of {name}: {text}"),
            job=seq,
        )

    def _overran(self, event: OverrunEvent) -> None:
        entry = self._by_id.get(event.task_id)
        if entry is None:
            return
        entry.statistics.overruns += 1
        name = entry.spec.name
        whole_ns = sum(entry.candidate.wcet_ns)
        within = event.taken_ns <= event.budget_ns  # then it is the job as a whole that exceeded
        self.log.tell_often(
            name,
            Decision.INFORMED,
            Rule.OVERRUN,
            overrun_sentence(event, name, entry.lane, len(entry.candidate.wcet_ns), whole_ns),
            job=event.seq,
            left=(event.used_ns if within else event.taken_ns) / 1e6,
            relation=">",
            right=(whole_ns if within else event.budget_ns) / 1e6,
            unit="ms",
            lane=entry.lane,
        )
        if event.sheds:
            self._shedding.add(entry.lane)
            for other in self._sheddable(entry.lane):
                self.log.tell_often(
                    other.spec.name,
                    Decision.SHED,
                    Rule.CRITICALITY,
                    f"{other.spec.name} ({other.spec.criticality}) is shed until lane {entry.lane} "
                    f"has had nothing to do once: job {event.seq} of {name} exceeded its budget",
                    lane=entry.lane,
                )

    def _lane_restored(self, lane: int, duration_ns: int) -> None:
        where = self.spec.device.lanes[lane].name
        self._shedding.discard(where)
        for entry in reversed(self._sheddable(where)):
            self.log.tell_often(
                entry.spec.name,
                Decision.RESTORED,
                Rule.CRITICALITY,
                f"{entry.spec.name} runs again after {duration_ns / 1e6:.1f} ms: lane {where} has "
                "had nothing to do",
                lane=where,
            )

    def _sheddable(self, lane: str) -> list[_Entry]:
        """Return the tasks of a lane that are not of high criticality, what is shed first first."""
        order = list(Criticality)
        found = [
            entry
            for entry in tuple(self._entries.values())
            if entry.lane == lane and entry.spec.criticality is not Criticality.HIGH
        ]
        return sorted(found, key=lambda entry: -order.index(entry.spec.criticality))

    def _tell_outage(self, event: EngineEvent, related: int) -> None:
        """Tell every task for how long it had no lane, and why."""
        lanes = [lane.name for lane in self.spec.device.lanes]
        for entry in tuple(self._entries.values()):
            if entry.failed:
                continue
            outage_ns = event.outage_ns(lanes.index(entry.lane))
            periods = -(-outage_ns // entry.spec.period_ns)
            self.log.tell_often(
                entry.spec.name,
                Decision.RESTORED,
                Rule.ENGINE_RESTART,
                f"{entry.spec.name} runs again: lane {entry.lane} ran nothing of it for "
                f"{outage_ns / 1e6:.0f} ms ({periods} of its periods), because {event.cause}",
                lane=entry.lane,
                related=related,
                left=outage_ns / 1e6,
                unit="ms",
            )

    def _engine_event(self, event: EngineEvent) -> None:
        self._shedding.clear()  # an engine that starts anew takes all
        lost: dict[int, int] = {}
        for task_id, _ in event.lost:
            lost[task_id] = lost.get(task_id, 0) + 1
        decision = Decision.RESTORED if event.recovered else Decision.INFORMED
        told = self.log.tell("", decision, event.rule, event.sentence)
        for task_id, count in lost.items():
            entry = self._by_id.get(task_id)
            if entry is not None:
                entry.statistics.lost += count
                self.log.tell(
                    entry.spec.name,
                    Decision.LOST,
                    Rule.ENGINE_RESTART,
                    f"{count} frame(s) of {entry.spec.name} were in the engine when it was lost",
                    count=count,
                    related=told.id,
                )
        for task_id in (*event.quarantined, *(task_id for task_id, _ in event.failed)):
            entry = self._by_id.get(task_id)
            if entry is not None:
                entry.failed = True
        for task_id, reason in event.failed:
            entry = self._by_id.get(task_id)
            if entry is not None:
                self.log.tell(
                    entry.spec.name,
                    Decision.LOST,
                    Rule.RUN_FAILED,
                    f"{entry.spec.name} could not be loaded again: {reason}; unregister it and "
                    "register it again once that is mended",
                    related=told.id,
                )
        if event.recovered:
            self._tell_outage(event, told.id)

    # -- inside: figures ----------------------------------------------------------------------

    def _arena_used(self) -> dict[str, int]:
        return {name: entry.candidate.compiled.arena_bytes for name, entry in self._entries.items()}

    def _share(self, entry: _Entry) -> float:
        task = entry.candidate.analysis_task()
        return task.wcet_ns(self.spec.device.switch_ns) / task.period_ns

    def _free_from_ns(self, removed: _Entry) -> int:
        """Return from when on no job of a removed task can have left others late; 0 for none."""
        last_ns = removed.statistics.last_deadline_ns
        if not last_ns:
            return 0
        task = removed.candidate.analysis_task()
        together = [
            task,
            *(item for _, item, lane in self._leaving if lane == removed.lane),
            *(
                entry.candidate.analysis_task()
                for entry in self._entries.values()
                if entry.lane == removed.lane and entry is not removed
            ),
        ]
        free = safe_removal_ns(
            together,
            last_ns - task.deadline_ns + task.jitter_ns,
            switch_ns=self.spec.device.switch_ns,
        )
        return _NEVER_NS if free is None else free

    def _utilization(self, lane: str, more: Sequence[AnalysisTask] = ()) -> float:
        switch_ns = self.spec.device.switch_ns
        own = sum(self._share(entry) for entry in self._entries.values() if entry.lane == lane)
        return own + sum(task.wcet_ns(switch_ns) / task.period_ns for task in more)

    def _verdict(self, lane: str) -> LaneVerdict:
        tasks = [
            entry.candidate.analysis_task()
            for entry in self._entries.values()
            if entry.lane == lane
        ]
        return check_lane(tasks, lane=lane, switch_ns=self.spec.device.switch_ns)

    def _tell_room(self) -> None:
        for index, lane in enumerate(self.spec.device.lanes):
            self._engine.set_room(index, self._room(lane.name))

    def _room(self, lane: str) -> float:
        """Return by what all budgets of a lane can be multiplied before anybody is late."""
        tasks = [
            entry.candidate.analysis_task()
            for entry in self._entries.values()
            if entry.lane == lane
        ]
        if not tasks:
            return 1.0
        tasks += [
            replace(task, name=f"{task.name} (leaving {index})")
            for index, (until, task, where) in enumerate(self._leaving)
            if where == lane and until > time.monotonic_ns()
        ]
        return min(_MOST_ROOM, max(1.0, breakdown(tasks, self.spec.device.switch_ns)))

    def _lane_summaries(self) -> tuple[LaneSummary, ...]:
        states = self._engine.status().lanes
        now = time.monotonic_ns()
        summaries = []
        for index, lane in enumerate(self.spec.device.lanes):
            verdict = self._verdicts.get(lane.name) or check_lane([], lane=lane.name)
            measured, running, waiting = 0.0, "", 0
            if index < len(states):
                state = states[index]
                busy = state.busy_ns + (now - state.since_ns if state.task_id >= 0 else 0)
                before, then = self._busy_before.get(index, (busy, now))
                if now > then and busy >= before:
                    measured = min(1.0, (busy - before) / (now - then))
                self._busy_before[index] = (busy, now)
                entry = self._by_id.get(state.task_id)
                running, waiting = (entry.spec.name if entry else ""), state.waiting
            summaries.append(
                LaneSummary(
                    lane.name,
                    lane.cpu,
                    verdict.utilization,
                    measured,
                    verdict.witness.slack_ns if verdict.witness else 0,
                    running,
                    waiting,
                )
            )
        return tuple(summaries)

    def _summary(self, entry: _Entry) -> TaskSummary:
        statistics = entry.statistics
        verdict = self._verdicts.get(entry.lane)
        responses = verdict.responses if verdict is not None else ()
        bound = next((item.bound_ns for item in responses if item.task == entry.spec.name), 0)
        if entry.failed:
            state = TaskState.FAILED
        elif not entry.fed.enabled:
            state = TaskState.DISABLED
        elif entry.fed.shed or (
            entry.lane in self._shedding and entry.spec.criticality is not Criticality.HIGH
        ):
            state = TaskState.SHED
        else:
            state = TaskState.RUNNING if statistics.received else TaskState.WAITING
        rate, p50, p99, worst, execution, longest, age = statistics.figures(time.monotonic_ns())
        return TaskSummary(
            entry.task_id,
            entry.spec,
            state,
            entry.lane,
            entry.candidate.prepared.digest,
            sum(entry.candidate.wcet_ns),
            entry.candidate.wcet_source,
            bound,
            self._share(entry),
            entry.candidate.compiled.arena_bytes,
            statistics.received,
            statistics.completed,
            statistics.missed,
            statistics.skipped,
            statistics.lost,
            statistics.overruns,
            rate,
            p50,
            p99,
            worst,
            execution,
            longest,
            age,
        )
