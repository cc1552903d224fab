"""The orchestrator: one facade over the parts that answer what a robot asks; no ROS.

Usable as a library::

    orchestrator = Orchestrator(load_config(path), state_dir=Path("state"), ...)
    orchestrator.configure()
    orchestrator.activate()
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from aegis_ros.audit import asked_by
from aegis_ros.backends import absent_cores, create_backends
from aegis_ros.config import together
from aegis_ros.device import DeviceState
from aegis_ros.engine import (
    Engine,
    EngineClient,
    EngineEvent,
    EngineInfo,
    JobResult,
    JobSkip,
    OverrunEvent,
    PartialResult,
    SlotFrame,
)
from aegis_ros.engine.speech import Spoken
from aegis_ros.engine.types import LeftOut
from aegis_ros.errors import ConfigError, StateError, StoppedError
from aegis_ros.host import pinnable_cores
from aegis_ros.memory import MemoryState, arena_plan
from aegis_ros.network import TensorInfo
from aegis_ros.orchestrator.admissions import Admissions, Ticket, cancelled_reason
from aegis_ros.orchestrator.admitted import AdmittedSet, Origin
from aegis_ros.orchestrator.auditing import Audit
from aegis_ros.orchestrator.chains import Chains
from aegis_ros.orchestrator.claims import Claims, claims_folder, claims_of
from aegis_ros.orchestrator.decimator import Decimator
from aegis_ros.orchestrator.engine_events import EngineEvents
from aegis_ros.orchestrator.generators import Generators
from aegis_ros.orchestrator.intake import Intake, first_origin
from aegis_ros.orchestrator.journal import Journal
from aegis_ros.orchestrator.judging import CheckTopics, Judge
from aegis_ros.orchestrator.lane_loads import LaneLoads
from aegis_ros.orchestrator.ledger import Ledger
from aegis_ros.orchestrator.lifecycle import Lifecycle
from aegis_ros.orchestrator.loading import Loader
from aegis_ros.orchestrator.moving import Mover
from aegis_ros.orchestrator.node_folder import DEFAULT_NODE, NodeFolder
from aegis_ros.orchestrator.node_state import NodeState
from aegis_ros.orchestrator.overruns import SustainedOverruns
from aegis_ros.orchestrator.preloading import preloading
from aegis_ros.orchestrator.pressure import MemoryPressure
from aegis_ros.orchestrator.profiling import Profiler
from aegis_ros.orchestrator.propagation import Propagation
from aegis_ros.orchestrator.registration import Registrar
from aegis_ros.orchestrator.rejected import Rejected
from aegis_ros.orchestrator.run_trace import RunTrace
from aegis_ros.orchestrator.stamps import FrameTimes
from aegis_ros.orchestrator.state_folder import exposed
from aegis_ros.orchestrator.summaries import Summaries
from aegis_ros.orchestrator.tick import Tick
from aegis_ros.orchestrator.timers import Timers
from aegis_ros.orchestrator.types import (
    AdmissionRequest,
    OrchestratorState,
    Registration,
)
from aegis_ros.orchestrator.unloading import Unloader
from aegis_ros.planning.feeds import decoded_outputs
from aegis_ros.planning.generator_preparation import GeneratorPreparation
from aegis_ros.planning.preparation import Preparation
from aegis_ros.planning.refusal import Refusal
from aegis_ros.planning.streams import Stream
from aegis_ros.rationale import Decision, Rationale, Reason, ResultCode, Rule
from aegis_ros.rationale.lanes import LanesChosen
from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.rejection import (
    Cancelled,
    CriticalRunning,
    NotAccepted,
    NotConfigured,
    Unforeseen,
)
from aegis_ros.rationale.requests import (
    FileDecides,
    JournalFound,
    JournalUnreadable,
    NotClaimed,
    StateNotKept,
    StoreDamaged,
    TaskDisabled,
    TaskEnabled,
    TaskRemembered,
)
from aegis_ros.rationale.results import ResultNotFinite, ResultUnwanted, RowsLeftOut
from aegis_ros.sandbox.stopping import Stop
from aegis_ros.spec import Accept, Contend, Criticality, GeneratorSpec, OrchestratorSpec, TaskSpec

__all__ = ["Orchestrator"]

_ANY_NUMBER = 1 << 30  # what is configured may all wait at once
_STOPPED = "configuring was stopped on request"
_CANCEL_S = 1.0  # within which a request that was cancelled ends, unless the engine is busy
_log = logging.getLogger(__name__)


class Orchestrator:
    """Admits, runs and explains. Methods may be called from any thread unless they say otherwise.

    Requests that have to prepare or measure a network take their turns in a queue
    (:attr:`admissions`). All others are quick, whatever has its turn.

    Args:
        spec: configuration.
        state_dir: journal, traces, profiles and caches live here.
        node: full name of the node whose journal and traces these are; empty for nobody's: nothing
            is remembered then, and a directory that cannot be written is an error.
        on_result: called with every finished job by the engine's reader thread; must release it.
        on_rationale: called with every decision.
        on_streams: called with the streams to subscribe to whenever tasks or activity change.
        check_topics: raises ``ConfigError`` for a task whose topics cannot be used beside those
            of other tasks.
        on_partial: called with outputs that a job has completed before its end; they are valid
            until the call returns.
        join_origins: returns the origin of a job from those of its frames (none for a timer without
            inputs) and the job's own times.
        engine_factory: makes the engine from the device and the callbacks.
        lanes_chosen: why the device has these lanes, where they were chosen; reported first.
        state: what the choice of lanes has opened for the same directory and node; opened here if
            not given.
    """

    def __init__(
        self,
        spec: OrchestratorSpec,
        *,
        state_dir: Path,
        node: str = DEFAULT_NODE,
        on_result: Callable[[TaskSpec, JobResult], None],
        on_rationale: Callable[[Rationale], None] = lambda rationale: None,
        on_streams: Callable[[tuple[Stream, ...]], None] = lambda streams: None,
        check_topics: CheckTopics = lambda spec, others: None,
        on_partial: Callable[[TaskSpec, PartialResult], None] = lambda spec, partial: None,
        join_origins: Callable[[Sequence[object], FrameTimes], object] = first_origin,
        engine_factory: Callable[..., Engine] = EngineClient,
        lanes_chosen: LanesChosen | None = None,
        state: NodeState | None = None,
    ) -> None:
        """Open the profile store; nothing runs yet.

        Raises:
            ConfigError: there is no such backend, or it cannot have such lanes; or the lanes are
                still to be chosen (:class:`~aegis_ros.orchestrator.LaneChooser`).
            ProfileError: ``state_dir`` cannot be used.
        """
        if not spec.device.lanes:
            raise ConfigError("lanes are still to be chosen", where="device.lanes", value="auto")
        self.spec = spec
        self._lanes_chosen = lanes_chosen
        self._state_dir = state_dir
        self._folder = NodeFolder(state_dir, node) if node else None
        kept = state_dir if self._folder is None else self._folder.path
        self._trace = RunTrace(spec, kept / "traces")
        self._on_rationale = on_rationale
        self._audit = Audit(kept / "audit")
        self._state = state or NodeState(state_dir, node)
        self.log = self._state.log
        self.log.publish_to(self._decided)
        self._on_result = on_result
        self._on_streams = on_streams
        self._on_partial = on_partial
        self._backends = create_backends(spec.device)
        self._rejected = Rejected()
        self._journal = Journal(kept / "journal.sqlite", self._journal_reports)
        profiles = self._state.profiles
        preparation = Preparation(spec, self._backends, profiles, self._state.cache)
        self.contention = preparation.contention
        self._admitted = AdmittedSet(spec.device)
        self._ledger = Ledger(self.log, self._gated)
        self._events = EngineEvents(self._admitted, self._ledger, self.log, spec.device)
        self._engine = engine_factory(
            spec.device,
            on_result=self._result,
            on_skip=self._skipped,
            on_event=self._engine_event,
            on_overrun=self._overran,
            on_restored=self._events.lane_restored,
            on_partial=self._partial,
            on_tokens=self._spoken,
            **({} if self._trace.memory is None else {"trace": self._trace.memory}),
        )
        self._info: EngineInfo | None = None
        self._quota_exceeded = 0
        self._lifecycle = Lifecycle()
        self._claims = Claims(claims_folder(), node)
        self._life = threading.Lock()  # configuring and cleaning up: one at a time
        self._configuring = Stop()
        self._changing = threading.RLock()  # of the set and what follows from it; held briefly
        self.admissions = Admissions()
        self._loader = Loader(self._engine, spec)
        self.profiler = Profiler(
            self._engine,
            preparation,
            profiles,
            self.log,
            device=spec.device,
            turn=lambda task: self.admissions.enter(task, AdmissionRequest.PROFILE),
            undisturbed=self._require_undisturbed,
        )
        new_id = itertools.count(1).__next__  # never again one that a task has had, in traces too
        self.generators = Generators(
            device=spec.device,
            engine=self._engine,
            preparation=GeneratorPreparation(spec, self._backends, profiles, self._state.cache),
            profiles=profiles,
            admitted=self._admitted,
            memory=lambda: self._judge.memory(),
            rejected=self._rejected,
            log=self.log,
            new_id=new_id,
            changing=self._changing,
            record=kept / "cycles.sqlite" if self._folder is not None else None,
        )
        self._decimator = Decimator(self._admitted, self.log, spec.device)
        self.chains = Chains(self._admitted, self._loader.channel, self._ledger, self._submit)
        self.intake = Intake(
            self.log, self._ledger, self._submit, join_origins, missed=self.chains.missed
        )
        self._summaries = Summaries(
            self._admitted, spec.device, self.intake.stamps, self.generators.name_of
        )
        self._timers = Timers(self.intake.tick)
        propagation = Propagation(
            device=spec.device,
            admitted=self._admitted,
            engine=self._engine,
            loader=self._loader,
            intake=self.intake,
            timers=self._timers,
            trace=self._trace,
            ledger=self._ledger,
            log=self.log,
            on_streams=on_streams,
            changing=self._changing,
            claims=self._claims,
            generators=self.generators,
        )
        self._propagation = propagation
        self._unloader = Unloader(propagation.unload, self._removed)
        self._judge = Judge(
            device=spec.device,
            lifecycle=self._lifecycle,
            admitted=self._admitted,
            loader=self._loader,
            preparation=preparation,
            profiler=self.profiler,
            check_topics=check_topics,
            generators=self.generators,
            loads=LaneLoads(
                spec, self._backends, profiles, cache_dir=self._state.cache, log=self.log
            )
            if spec.device.contention is Contend.LOADS and preparation.contention.present
            else None,
        )
        self._registrar = Registrar(
            lanes=len(spec.device.lanes),
            admitted=self._admitted,
            judge=self._judge,
            loader=self._loader,
            mover=Mover(
                self._admitted,
                self._loader,
                self.log,
                ledger=self._ledger,
                new_id=new_id,
                announce=propagation.publish_tables,
                changed=propagation.publish_proofs,
                unload=propagation.unload,
                changing=self._changing,
            ),
            decimator=self._decimator,
            propagation=propagation,
            journal=self._journal,
            rejected=self._rejected,
            claims=self._claims,
            log=self.log,
            ledger=self._ledger,
            new_id=new_id,
            unloader=self._unloader,
            changing=self._changing,
            generators=self.generators,
        )
        self._overruns = SustainedOverruns(
            device=spec.device,
            admitted=self._admitted,
            engine=self._engine,
            contention=self.contention,
            loader=self._loader,
            log=self.log,
            changing=self._changing,
            changed=propagation.publish_proofs,
        )
        self._reviewing = threading.Lock()
        self._pressure = MemoryPressure(
            spec.memory,
            admitted=self._admitted,
            generators=self.generators,
            engine=self._engine,
            loader=self._loader,
            loading=self._unloader.loading,
            log=self.log,
            memory=self._judge.memory,
        )
        self._tick = Tick(
            spec=spec,
            lifecycle=self._lifecycle,
            admitted=self._admitted,
            engine=self._engine,
            events=self._events,
            decimator=self._decimator,
            refresh=self._refresh,
            trace=self._trace,
            ledger=self._ledger,
            log=self.log,
            memory=self._judge.memory,
            pressure=self._pressure,
        )

    # -- life ---------------------------------------------------------------------------------

    def configure(self, *, admit: bool = True) -> tuple[Registration, ...]:
        """Start the engine and admit the configured tasks, then those of the journal.

        A task that is rejected does not affect the others; each gets its answer.

        Args:
            admit: whether to admit anything; without, networks can be measured.

        Raises:
            ConfigError: a lane is pinned to a core that this process cannot run on.
            EngineError: the engine does not start.
            StateError: already configured; or another process owns the state of this node, or a
                core or device of its lanes.
            StoppedError: it was cleaned up meanwhile.
        """
        with self._life:
            if self._lifecycle.configured:
                raise StateError("the orchestrator is already configured")
            if absent := absent_cores(self.spec.device, self._backends, pinnable_cores()):
                raise together(absent, "device.lanes")
            self.admissions.open()
            self._configuring = Stop()
            with ExitStack() as undo, self._configuring.applied():
                undo.callback(self.admissions.close)
                if admit and self._folder is not None:
                    undo.callback(self._folder.give_back)
                    self._take_folder(self._folder)
                    undo.callback(self._claims.give_back)
                    self._claim()
                with preloading():
                    self._info = self._engine.start()
                self._ledger.clear()
                undo.pop_all()
                self._lifecycle.configured = True
                self._trace.begin(self._info, self.log.report)
                if not admit:
                    return ()
                self._audit.begin()
                if self._lanes_chosen is not None:
                    self.log.report(self._lanes_chosen)
                return self._admit_all()

    def _take_folder(self, folder: NodeFolder) -> None:
        """Lock what this node remembers, and report where nothing can be kept.

        Raises:
            StateError: another process owns it.
        """
        problem = self._state.problem
        try:
            folder.take()
        except OSError as error:
            problem = problem or str(error)
        if problem:
            self.log.report(StateNotKept(str(folder.path), problem))
        written_by_others = exposed(self._state_dir, folder.path)
        if written_by_others is not None:
            self.log.report(written_by_others)

    def _claim(self) -> None:
        """Claim the cores and devices of the lanes.

        Raises:
            StateError: another orchestrator has one of them.
        """
        try:
            self._claims.take(claims_of(self.spec.device, self._backends))
        except OSError as error:
            self.log.report(NotClaimed(str(error)))

    def _admit_all(self) -> tuple[Registration, ...]:
        """Admit the configured tasks, then those of the journal."""
        in_file = {task.name for task in self.spec.tasks}
        origins = {task.name: Origin(from_file=True) for task in self.spec.tasks}
        remembered: list[TaskSpec] = []
        journaled = self._journal.open() if self._folder is not None else []
        for each in journaled:
            if each.spec is None:
                unreadable = self.log.report(JournalUnreadable(each.name, each.problem))
                if each.name not in in_file:
                    origin = Origin(remembered=True, since_ns=each.since_ns)
                    self._rejected.add(each.name, origin, unreadable)
            elif each.name not in in_file:
                self.log.report(TaskRemembered(each.name, each.since_ns, each.left_out))
                origin = Origin(remembered=True, since_ns=each.since_ns)
                if self.spec.services.accept is Accept.NONE:  # whoever asked for it then
                    refused = self.log.report(NotAccepted(each.name, str(Accept.NONE)))
                    self._rejected.add(each.name, origin, refused)
                    continue
                origins[each.name] = origin
                remembered.append(each.spec)
        for what, aside in (
            ("the journal of admitted tasks", self._journal.moved_aside),
            ("the store of WCET profiles", self._state.profiles.moved_aside),
        ):
            if aside is not None:
                self.log.report(StoreDamaged(what, str(aside)))
        for name in sorted(in_file & {each.name for each in journaled}):
            self.log.report(FileDecides(name))
        # All have a place from the beginning, so that everybody sees what is still to come.
        with ExitStack() as places:
            waiting = []
            for task in (*_firsts_first(self.spec.tasks), *_firsts_first(remembered)):
                ticket = self._place_at_start(task.name)
                places.callback(self.admissions.leave, ticket)
                waiting.append((task, ticket))
            speaking = []  # after all tasks, so that they give way to none
            for generator in self.spec.generators:
                ticket = self._place_at_start(generator.name)
                places.callback(self.admissions.leave, ticket)
                speaking.append((generator, ticket))
            self._judge.expect(waiting)
            answers = tuple(
                self._in_turn(
                    ticket,
                    partial(self._admit_at_start, task, origin=origins[task.name]),
                )
                for task, ticket in waiting
            )
            for generator, ticket in speaking:
                self._admit_generator(generator, ticket)
        if self.admissions.closed:
            raise StoppedError(_STOPPED)
        return answers

    def _place_at_start(self, task: str) -> Ticket:
        try:
            return self.admissions.enter(task, AdmissionRequest.REGISTER, _ANY_NUMBER)
        except StateError as error:  # a clean-up has closed them meanwhile
            raise StoppedError(_STOPPED) from error

    def _admit_at_start(self, task: TaskSpec, ticket: Ticket, origin: Origin) -> Registration:
        with asked_by("the configuration" if origin.from_file else "the journal of an earlier run"):
            try:
                answer = self._registrar.register(task, ticket, origin)
            except StoppedError:
                raise
            except Exception as error:  # a mistake of ours, or of a plug-in: the others run
                if ticket.stop.is_set:
                    raise StoppedError(_STOPPED) from error
                _log.error("task %s: %s", task.name, printable(traceback.format_exc().rstrip()))
                answer = self._registrar.refused(Unforeseen(task.name, repr(error)))
        if not answer.accepted and not isinstance(answer.rationale.reason, Cancelled):
            with self._changing:
                if self._admitted.get(task.name) is None:
                    self._rejected.add(task.name, origin, answer.rationale)
        return answer

    def _admit_generator(self, generator: GeneratorSpec, ticket: Ticket) -> None:
        try:
            with ticket, asked_by("the configuration"):
                self.generators.admit(generator, ticket)
            recorder = self._trace.recorder
            if recorder is not None:
                for each in self.generators.traced():
                    recorder.task(each)
        except StoppedError:
            self.log.report(cancelled_reason(ticket))

    def _journal_reports(self, reason: Reason) -> None:
        """Report what befalls the journal, and which tasks it shows too late to be admitted."""
        rationale = self.log.report(reason)
        if isinstance(reason, JournalFound):
            for name in reason.tasks:
                if self._admitted.get(name) is None:
                    origin = Origin(remembered=True, since_ns=self._journal.since_ns(name))
                    self._rejected.add(name, origin, rationale)

    def activate(self) -> None:
        """Let frames in; an engine that was given up is started once more.

        Raises:
            StateError: not configured.
        """
        with self._changing:
            self._lifecycle.require_configured()
            self._engine.try_again()
            self._lifecycle.active = True
            self.intake.open = True
            self._on_streams(self.intake.streams())
            self._audit.event("activated")

    def deactivate(self) -> None:
        """Keep everything loaded and let no frame in."""
        with self._changing:
            if self._lifecycle.active:
                self._audit.event("deactivated")
            self._lifecycle.active = False
            self.intake.open = False
            self._on_streams(self.intake.streams())

    def cleanup(self, drain: Callable[[], None] = lambda: None) -> None:
        """Cancel what waits, end the engine and give everything back; the journal stays.

        Args:
            drain: called once no more results come; returns when those that came have been used,
                so that each is counted.
        """
        self._configuring.set()
        self.admissions.close()
        self.deactivate()
        self.generators.close()  # while there is an engine, so that nothing of it ends a request
        if not self.admissions.wait_until_empty(_CANCEL_S):
            self._engine.stop()  # whatever waits for it ends with it
            self.admissions.wait_until_empty()
        with self._life:
            self.intake.replace({})
            self._timers.close()
            for entry in self._admitted:
                entry.joint.close()
            self._engine.stop()
            self.generators.clear()
            self._unloader.wait()
            drain()
            self.log.flush(everything=True)
            self._tick.note_state()
            self._trace.close()
            self._audit.end()
            self._journal.close()
            self._claims.give_back()
            if self._folder is not None:
                self._folder.give_back()
            with self._changing:
                self._admitted.clear()
                self._rejected.clear()
                self._loader.clear()
                self._summaries.clear()
                self._events.shedding.clear()
                self._tick.forget()
                self._decimator.forget()
                self._overruns.forget()
                self._lifecycle.configured = False
                self._info = None
                self._on_streams(())

    def close(self) -> None:
        """Give back what outlives :meth:`cleanup`; it cannot be configured again after that."""
        self._state.close()

    # -- requests -----------------------------------------------------------------------------

    def register(self, spec: TaskSpec, ticket: Ticket | None = None) -> Registration:
        """Admit a task, all or nothing; a rejection leaves everything as it was.

        Args:
            spec: the task.
            ticket: its place in :attr:`admissions`; at the end of the queue where none is given.
        """
        return self._queued(
            spec.name,
            AdmissionRequest.REGISTER,
            ticket,
            partial(self._registrar.register, spec, origin=Origin(since_ns=time.time_ns())),
        )

    def evaluate(
        self, spec: TaskSpec, without: Sequence[str] = (), ticket: Ticket | None = None
    ) -> Registration:
        """Return what :meth:`register` would answer, and change nothing.

        Args:
            spec: the task.
            without: admitted tasks to leave out in the question.
            ticket: its place in :attr:`admissions`; at the end of the queue where none is given.
        """
        return self._queued(
            spec.name,
            AdmissionRequest.EVALUATE,
            ticket,
            partial(self._registrar.evaluate, spec, without=without),
        )

    def unregister(self, name: str) -> Registration:
        """Remove a task, and cancel what would admit or measure one of this name.

        Its capacity is given away once its last job can delay nobody more; its network is unloaded
        beside this (:meth:`settle`). Returns once the journal's file no longer holds it, while
        other requests do not wait for the disk.
        """
        with self._changing:
            answer = self._registrar.unregister(name, self.admissions.cancel(name))
        self._journal.write()
        return answer

    def settle(self) -> None:
        """Wait until the engine holds what it is to hold: nothing that was removed or shed."""
        self._unloader.wait()
        self._pressure.wait()

    def set_enabled(self, name: str, enabled: bool) -> Registration:
        """Stop or resume feeding a task; its capacity stays reserved."""
        with self._changing:
            entry = self._admitted.get(name)
            if entry is None:
                return self._registrar.unknown(name)
            entry.fed.enabled = enabled
            kind = TaskEnabled if enabled else TaskDisabled
            rationale = self.log.report(kind(name, entry.lane, self._admitted.share(entry)))
            return Registration(True, ResultCode.DONE, entry.task_id, rationale)

    def device_changed(self, state: DeviceState) -> None:
        """As :meth:`Tick.device_changed`."""
        self._tick.device_changed(state)

    def memory_changed(self, state: MemoryState) -> None:
        """As :meth:`Tick.memory_changed`."""
        self._tick.memory_changed(state)

    def fail(self, name: str, reason: Reason) -> None:
        """Mark a task that the outside cannot serve as failed, and report why."""
        entry = self._admitted.get(name)
        if entry is not None:
            entry.failure = reason
            self.log.report_often(reason)

    # -- figures ------------------------------------------------------------------------------

    @property
    def on_cores(self) -> bool:
        """Whether all lanes compute on the processor's cores, and none on a device of its own."""
        return all(each.capabilities.on_cores for each in self._backends.values())

    @property
    def engine_pid(self) -> int:
        """Process id of the engine, 0 for none."""
        return self._engine.status().pid

    @property
    def active(self) -> bool:
        """Whether frames are let in."""
        return self._lifecycle.active

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
        entry, statistics = self._admitted.of_id(task_id), self._ledger.account(task_id)
        if statistics is not None:
            # Where no deadline is promised, the result is as old as it is, and nobody is let down.
            promised = entry is None or entry.spec.criticality is not Criticality.BEST_EFFORT
            statistics.published(now, response_ns, execution_ns, met or not promised)
        recorder = self._trace.recorder
        if recorder is not None and seq >= 0:
            recorder.published(task_id, seq, decoded_ns, now, handed_ns=handed_ns, due_ns=due_ns)

    def not_finite(self, task_id: int, seq: int, outputs: Sequence[str]) -> None:
        """Count and report a result that holds NaN or infinite numbers.

        Args:
            task_id: number of the task.
            seq: number of the job.
            outputs: names of the outputs that hold them.
        """
        entry = self._admitted.of_id(task_id)
        if entry is not None:
            entry.statistics.count_not_finite()
            self.log.report_often(ResultNotFinite(entry.spec.name, seq, tuple(outputs)))

    def truncated(self, task_id: int, seq: int, left_out: Sequence[LeftOut]) -> None:
        """Count and report a result of which rows were left out.

        Args:
            task_id: number of the task.
            seq: number of the job.
            left_out: the outputs that lack them.
        """
        entry = self._admitted.of_id(task_id)
        if entry is not None and left_out:
            entry.statistics.truncate()
            for each in left_out:
                self.log.report_often(
                    RowsLeftOut(entry.spec.name, seq, each.output, each.kept, each.found)
                )

    def unpublished(self, task_id: int, reason: Reason) -> None:
        """Count a result that was not published, and report why."""
        self._ledger.ended(task_id, reason)

    def undecoded(self, task_id: int, reason: Reason) -> None:
        """Count a result that is published without what its decoder makes of it; report why."""
        statistics = self._ledger.account(task_id)
        if statistics is not None:
            statistics.undecode(reason)
        self.log.report_often(reason)

    def status(self) -> OrchestratorState:
        """Return everything as it is now; also publishes events that were folded."""
        # No lock: a registration that measures a profile must not stop the diagnostics.
        self.intake.flush()
        self.log.flush()
        engine = self._engine.status()
        return OrchestratorState(
            self._lifecycle.active,
            self._info,
            engine,
            self.spec.device.arena_bytes,
            arena_plan(self._judge.memory()).nbytes,
            self._summaries.lanes(engine.lanes),
            tuple(self._summaries.task(entry, self._events.shedding) for entry in self._admitted),
            self._ledger.balance(),
            *self.admissions.summaries(),
            self._audit.head,
            tuple(self._rejected),
            self.generators.summaries(),
            self._pressure.state,
            self._pressure.shed,
            self._quota_exceeded,
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

    def _decided(self, rationale: Rationale) -> None:
        recorder = self._trace.recorder
        if recorder is not None:
            recorder.rationale(rationale)
        self._count_quota(rationale)
        self._audit.decided(rationale)
        self._on_rationale(rationale)

    def _count_quota(self, rationale: Rationale) -> None:
        """Count a decision by which a limit of memory was met, for its task and for the node."""
        restored = rationale.decision in (Decision.ADMITTED, Decision.RESTORED)
        if rationale.rule not in (Rule.ARENA, Rule.MEMORY) or restored:
            return
        self._quota_exceeded += max(1, rationale.count)
        entry = self._admitted.get(rationale.task)
        if entry is not None:
            entry.statistics.quota_exceeded += max(1, rationale.count)

    def _engine_event(self, event: EngineEvent) -> None:
        recorder = self._trace.recorder
        if recorder is not None:
            recorder.lost(event.lost)
        self._events.engine_event(event)
        self.generators.engine_event(event)
        for task_id, seq in event.lost:
            entry = self._admitted.of_id(task_id)
            if entry is not None and entry.fed.followed:
                self.chains.missed(entry.spec.name, seq)

    def _require_undisturbed(self, task: str) -> None:
        self._lifecycle.require_configured()
        if self._lifecycle.critical_running(self._admitted):
            raise Refusal(CriticalRunning(task))

    # -- inside: requests ---------------------------------------------------------------------

    def _queued(
        self,
        task: str,
        request: AdmissionRequest,
        ticket: Ticket | None,
        answer: Callable[[Ticket], Registration],
    ) -> Registration:
        try:
            place = ticket or self.admissions.enter(task, request)
        except Refusal as refusal:
            return self._registrar.refused(refusal.reason)
        except StateError:
            return self._registrar.refused(NotConfigured(task))
        return self._in_turn(place, answer)

    def _in_turn(self, ticket: Ticket, answer: Callable[[Ticket], Registration]) -> Registration:
        """Answer a request once it has its turn; one that is cancelled before is refused."""
        try:
            with ticket:
                return answer(ticket)
        except StoppedError:
            return self._registrar.refused_as_cancelled(ticket)

    def _removed(self) -> None:
        """Give engine and tasks what a removed task leaves to them."""
        with self._changing:
            self._propagation.publish_proofs()
        self._refresh_decimation()

    def _refresh(self) -> None:
        """Adapt budgets and decimation to what has become of the tasks."""
        if self._overruns.pending and self._reviewing.acquire(blocking=False):
            # Beside this: the engine may be loading networks, and is asked to hold other budgets.
            threading.Thread(target=self._review, name="budgets", daemon=True).start()
        self._refresh_decimation()

    def _review(self) -> None:
        try:
            with self.admissions.if_idle() as idle:
                if idle:
                    self._overruns.review()
        finally:
            self._reviewing.release()

    def _refresh_decimation(self) -> None:
        """Lower decimation where it is no longer needed; next time, where a request has its turn.

        A task that is being admitted was proven beside the others as they run now.
        """
        with self.admissions.if_idle() as idle, self._changing:
            if idle and self._decimator.refresh():
                self._propagation.publish_proofs()

    # -- inside: what goes to the engine ------------------------------------------------------

    def _submit(
        self,
        frames: Sequence[SlotFrame],
        times: FrameTimes,
        jobs: list[tuple[int, int, int, int]],
        origin: object,
    ) -> None:
        recorder = self._trace.recorder
        if recorder is not None:
            recorder.frame([job[:2] for job in jobs], times.stamped_ns, times.ready_ns)
        self._engine.submit(frames, times.received_ns, jobs, origin=origin)

    def _gated(self, task_id: int, job: int, rule: Rule, now_ns: int) -> None:
        recorder = self._trace.recorder
        if recorder is not None:
            recorder.gated(task_id, job, rule, now_ns)

    # -- inside: what the engine reports ------------------------------------------------------

    def _skipped(self, skip: JobSkip) -> None:
        self._events.skipped(skip)
        entry = self._admitted.of_id(skip.task_id)
        if entry is not None and entry.fed.followed:
            self.chains.missed(entry.spec.name, skip.seq)

    def _overran(self, event: OverrunEvent) -> None:
        self._events.overran(event)
        self.generators.overran(event)
        self._overruns.note(event)

    def _spoken(self, spoken: Spoken) -> None:
        self.generators.spoken(spoken)

    def _partial(self, partial: PartialResult) -> None:
        entry = self._admitted.of_id(partial.task_id)
        if entry is not None:
            self._on_partial(entry.spec, partial)

    def _result(self, result: JobResult) -> None:
        entry = self._admitted.of_id(result.task_id)
        if entry is None:
            result.release()
            self.unpublished(result.task_id, ResultUnwanted("", result.seq))
            return
        entry.statistics.early_exits += result.early_exit
        entry.statistics.exit_level = int(result.early_exit)
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
