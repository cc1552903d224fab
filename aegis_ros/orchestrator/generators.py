"""The generators of a node: admitted beside the tasks, and judged again whenever those change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

from aegis_ros.analysis import AnalysisTask
from aegis_ros.engine import Engine
from aegis_ros.engine.events import EngineEvent, OverrunEvent
from aegis_ros.engine.speech import LoadGenerator, Spoken
from aegis_ros.errors import AegisError
from aegis_ros.memory import Holding
from aegis_ros.orchestrator.adapting import Adapting
from aegis_ros.orchestrator.admissions import Ticket, cancelled_reason
from aegis_ros.orchestrator.admitted import AdmittedSet, Origin
from aegis_ros.orchestrator.conversation import Conversation, Vocabulary
from aegis_ros.orchestrator.cycle_reader import CycleReader
from aegis_ros.orchestrator.cycle_record import Cycle, CycleRecord
from aegis_ros.orchestrator.generator_judging import GeneratorJudging
from aegis_ros.orchestrator.generator_summary import refused_summary, summary_of
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.rejected import Rejected
from aegis_ros.orchestrator.types import AdmissionStage, GeneratorSummary
from aegis_ros.planning.generator import Bucket, GeneratorAnswer
from aegis_ros.planning.generator_preparation import (
    GeneratorCandidate,
    GeneratorPreparation,
)
from aegis_ros.planning.in_slack import judge_generators
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rationale, Reason
from aegis_ros.rationale.engine import EngineGivenUp, Quarantined, TaskNotReloaded
from aegis_ros.rationale.generators import (
    BucketsChanged,
    CacheTooLarge,
    GeneratorAdmitted,
    GeneratorRefused,
    StepOverran,
    UnknownGenerator,
)
from aegis_ros.rationale.rejection import Failed, Invalid, NameTaken, NotConfigured
from aegis_ros.rationale.requests import CyclesNotKept
from aegis_ros.rationale.wording import words
from aegis_ros.scheduling import GeneratorPlan
from aegis_ros.scheduling.adaptation import Limits
from aegis_ros.scheduling.generation import Shape
from aegis_ros.spec import Criticality, DeviceSpec, GeneratorSpec
from aegis_ros.trace.history import TracedTask
from aegis_ros.wcet import ProfileStore

__all__ = ["Generators"]

_LONGEST_STEP_S = 2.0  # that is waited for
_LOOK_S = 0.005

_log = logging.getLogger(__name__)

Running = Mapping[str, tuple[AnalysisTask, str]]


@dataclass(slots=True)
class _Entry:
    task_id: int
    candidate: GeneratorCandidate
    plan: GeneratorPlan  # of all its buckets
    first: GeneratorAnswer  # that it was admitted by
    answer: GeneratorAnswer
    conversation: Conversation
    cycles: CycleReader
    borne: GeneratorAnswer  # what its lane bears at this moment; less while a task comes
    limits: Limits  # as it chose them
    failure: Reason | None = None

    @property
    def name(self) -> str:
        return self.candidate.spec.name

    @property
    def lane(self) -> str:
        return self.candidate.lane


class Generators:
    """All generators of the configuration. Requests may come from any thread.

    One of best effort never keeps a task from being admitted: it gives up the steps that would be
    too long beside it, all of them if need be, and gets them back when the task is gone. What is
    promised is a task of low criticality that tasks are judged beside. Each adapts after every
    cycle, within what its lane bears.

    Args:
        device: lanes and arena.
        engine: runs them.
        preparation: prepares their models.
        profiles: where budgets of steps are kept.
        admitted: the tasks.
        memory: returns what is in memory for all tasks and generators.
        rejected: where those are kept that do not run.
        log: where decisions are reported.
        new_id: returns a number that no task has had.
        changing: the orchestrator's lock.
        record: file that every cycle is kept in; ``None`` for none.
    """

    def __init__(
        self,
        *,
        device: DeviceSpec,
        engine: Engine,
        preparation: GeneratorPreparation,
        profiles: ProfileStore,
        admitted: AdmittedSet,
        memory: Callable[[], list[Holding]],
        rejected: Rejected,
        log: RationaleLog,
        new_id: Callable[[], int],
        changing: threading.RLock,
        record: Path | None,
    ) -> None:
        """Admit nothing yet."""
        self._device = device
        self._engine = engine
        self._admitted = admitted
        self._judging = GeneratorJudging(
            device=device,
            engine=engine,
            preparation=preparation,
            profiles=profiles,
            admitted=admitted,
            others=self._admitted_answers,
            memory=memory,
            log=log,
        )
        self._memory = memory
        self._rejected = rejected
        self._log = log
        self._new_id = new_id
        self._changing = changing
        self._record_path = record
        self._record: CycleRecord | None = None
        self._adapting = Adapting(log.report, self._note)
        self._limiting = threading.Lock()  # of what is borne, and of the limits that follow from it
        self._entries: dict[str, _Entry] = {}
        self._by_id: dict[int, _Entry] = {}
        self._refused: dict[str, GeneratorSummary] = {}
        self._news: SimpleQueue[Spoken | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    # -- what there is ------------------------------------------------------------------------

    def __contains__(self, name: str) -> bool:
        """Return whether one of this name is admitted."""
        return name in self._entries

    def holdings(self) -> list[Holding]:
        """Return what is in memory for them."""
        return [each.candidate.holding() for each in tuple(self._entries.values())]

    def name_of(self, task_id: int) -> str:
        """Return the name of the generator that has a number; empty where none has it."""
        entry = self._by_id.get(task_id)
        return "" if entry is None else entry.name

    def summaries(self) -> tuple[GeneratorSummary, ...]:
        """Return each one as it is now, in the order of the configuration; refused ones last."""
        entries, refused = dict(self._entries), tuple(self._refused.values())
        admitted = (
            summary_of(
                entry.candidate.spec,
                entry.answer,
                entry.first,
                entry.conversation,
                adapted=adapted,
                failure=entry.failure,
                stepped_ns=cycle.ended_ns if (cycle := self._engine.cycle(entry.task_id)) else 0,
            )
            for adapted in self._adapting.summaries()
            if (entry := entries.get(adapted.name)) is not None
        )
        return (*admitted, *refused)

    def traced(self) -> tuple[TracedTask, ...]:
        """Return what a trace says of each: the step that each of its segments is a part of."""
        return tuple(
            TracedTask(
                each.task_id,
                each.name,
                each.lane,
                criticality=str(
                    Criticality.LOW if each.candidate.spec.tokens_per_s else Criticality.BEST_EFFORT
                ),
                steps=tuple(
                    bucket.name
                    for bucket in _in_order(each.candidate.buckets)
                    for _ in bucket.parts_ns
                ),
            )
            for each in tuple(self._entries.values())
        )

    def find(self, name: str) -> tuple[GeneratorCandidate, Conversation] | Reason:
        """Return a generator and its conversation, or why there is none.

        Args:
            name: of the generator; empty for the only one.
        """
        entries = dict(self._entries)
        if not name and len(entries) == 1:
            (entry,) = entries.values()
        elif name in entries:
            entry = entries[name]
        else:
            return UnknownGenerator(name[:64], tuple(sorted(entries)))
        return entry.candidate, entry.conversation

    def proof(
        self, name: str
    ) -> tuple[GeneratorAdmitted | GeneratorRefused | CacheTooLarge, Reason | None]:
        """Return what the proof says of one that was found, and why it does not run all the same.

        Raises:
            KeyError: there is no such generator.
        """
        entry = self._entries[name]
        return entry.answer.reason, entry.failure

    # -- admission ----------------------------------------------------------------------------

    def admit(self, spec: GeneratorSpec, ticket: Ticket) -> Rationale:
        """Prepare, measure, judge and load a generator; one that is refused changes nothing.

        Args:
            spec: the generator.
            ticket: of the request, which has its turn.
        """
        try:
            if self._admitted.get(spec.name) is not None:
                raise Refusal(NameTaken(spec.name))
            candidate, answer = self._judging.judged(spec, ticket)
            entry = self._loaded(candidate, answer, ticket)
            with self._changing:
                ticket.at(AdmissionStage.LOADING)
                ticket.settled = True
                self._entries[spec.name] = self._by_id[entry.task_id] = entry
                self._rejected.drop(spec.name)
                self._refused.pop(spec.name, None)
                rationale = self._log.report(answer.reason)
                self.settle()
                return rationale
        except Refusal as refusal:
            reason: Reason = refusal.reason
        except (AegisError, OSError, MemoryError) as error:
            rule = error.rule if isinstance(error, AegisError) else None
            text = str(error) or repr(error)
            reason = Failed(spec.name, text) if rule is None else Invalid(spec.name, rule, text)
        if ticket.stop.is_set:
            reason = cancelled_reason(ticket)
        rationale = self._log.report(reason)
        self._rejected.add(spec.name, Origin(from_file=True), rationale)
        self._refused[spec.name] = refused_summary(spec, reason)
        return rationale

    def _admitted_answers(self) -> list[GeneratorAnswer]:
        return [each.answer for each in self._entries.values() if each.answer.admitted]

    def _loaded(
        self, candidate: GeneratorCandidate, answer: GeneratorAnswer, ticket: Ticket
    ) -> _Entry:
        """Load a generator with all its buckets, limited to those that it may run."""
        ticket.at(AdmissionStage.LOADING)
        spec, cache = candidate.spec, candidate.cache
        task_id = self._new_id()
        every = replace(answer, buckets=_in_order(candidate.buckets))
        plan = every.plan(self._device.switch_ns)
        promise = answer.generator.promise()
        loaded = LoadGenerator(
            task_id,
            spec.name,
            candidate.compiled,
            [lane.name for lane in self._device.lanes].index(candidate.lane),
            plan,
            tuple(Shape(each.tokens, each.prefill) for each in every.buckets),
            cache,
            Criticality.BEST_EFFORT if promise is None else Criticality.LOW,
            0 if promise is None else promise.deadline_ns,
        )
        self._engine.load_generator(loaded)
        facts = candidate.prepared.facts
        conversation = Conversation(
            task_id,
            spec.name,
            cache,
            most_waiting=spec.waiting,
            words=Vocabulary(candidate.prepared.pieces, frozenset(facts.ends)),
            speaker=self._engine,
            report=self._log.report_often,
        )
        cycles = CycleReader(
            loaded,
            conversation,
            self._engine,
            arena_bytes=self._device.arena_bytes,
            memory=self._memory,
        )
        limits = self._adapting.add(spec.name, answer.menu())
        entry = _Entry(
            task_id, candidate, plan, answer, answer, conversation, cycles, answer, limits
        )
        self._limit(entry, answer)
        if self._thread is None:
            if self._record_path is not None:
                self._record = CycleRecord(self._record_path, on_problem=self._not_kept)
            self._thread = threading.Thread(target=self._listen, name="generators", daemon=True)
            self._thread.start()
        return entry

    # -- beside tasks that change -------------------------------------------------------------

    def beside(self, running: Running) -> tuple[GeneratorAnswer, ...]:
        """Return what each generator may do beside these tasks, which hold their deadlines.

        Args:
            running: how the tests see each task, and its lane; with what generators promise.
        """
        entries = tuple(self._entries.values())
        tasks: dict[str, list[AnalysisTask]] = {}
        for task, lane in running.values():
            tasks.setdefault(lane, []).append(task)
        return judge_generators(
            [each.candidate.generator() for each in entries], tasks, self._device.switch_ns
        )

    def narrow(self, answers: Sequence[GeneratorAnswer]) -> None:
        """Have generators do no more than this, before a task comes for which they must not.

        Returns once the longer steps that were under way have ended. :meth:`settle` follows,
        whether the task came or not.

        Args:
            answers: as :meth:`beside` returns them.
        """
        narrowed = []
        for answer in answers:
            entry = self._entries.get(answer.generator.name)
            if entry is None or not entry.answer.admitted:
                continue
            if not answer.admitted:
                entry.conversation.pause(answer.reason)
            elif len(answer.buckets) < len(entry.answer.buckets):
                self._limit(entry, answer)
            else:
                continue
            narrowed.append((entry, self._cycle(entry)))
        end = time.monotonic() + _LONGEST_STEP_S
        for entry, before in narrowed:
            # Of best effort, it may get no time at all: then one part is left of the step at most.
            while time.monotonic() < end and entry.conversation.running:
                if self._cycle(entry) > before:
                    break
                time.sleep(_LOOK_S)

    def _cycle(self, entry: _Entry) -> int:
        """Return how many steps of a generator have ended."""
        cycle = self._engine.cycle(entry.task_id)
        return 0 if cycle is None else cycle.number

    def settle(self) -> None:
        """Give every generator what its lane bears now, and report what has changed.

        Called under the orchestrator's lock.
        """
        self._admitted.promises = {
            task.name: (task, each.lane)
            for each in self._entries.values()
            if (task := each.answer.generator.promise()) is not None
        }
        for answer in self.beside(self._admitted.running()):
            self._apply(self._entries[answer.generator.name], answer)
        self._admitted.stepped(
            {
                each.answer.step_name: (each.answer.step(), each.lane)
                for each in self._entries.values()
                if each.answer.admitted
            }
        )

    def _apply(self, entry: _Entry, answer: GeneratorAnswer) -> None:
        before, entry.answer = entry.answer, answer
        if not answer.admitted:
            entry.conversation.pause(answer.reason)
            if before.admitted:
                rationale = self._log.report(answer.reason)
                self._rejected.add(entry.name, Origin(from_file=True), rationale)
            return
        if before.buckets != answer.buckets:
            self._adapting.add(entry.name, answer.menu())
        self._limit(entry, answer)
        if entry.failure is None:
            entry.conversation.resume()
        reason = answer.reason
        assert isinstance(reason, GeneratorAdmitted)
        if not before.admitted:
            self._rejected.drop(entry.name)
            self._log.report(reason)
        elif before.buckets != answer.buckets:
            names = [tuple(each.name for each in one.buckets) for one in (before, answer)]
            self._log.report(BucketsChanged(entry.name, entry.lane, reason.borne, *names))

    def _limit(self, entry: _Entry, borne: GeneratorAnswer | None = None) -> None:
        """Have a generator do what it chose, and no more than its lane bears.

        Args:
            entry: the generator.
            borne: what its lane bears from now on; as before, if not given.
        """
        with self._limiting:  # a choice must not undo what a task was promised meanwhile
            entry.borne = borne or entry.borne
            entry.limits = self._adapting.limits(entry.name) or entry.limits
            buckets, limits = entry.borne.buckets, entry.limits
            chunk = max(each.tokens for each in buckets if each.prefill)
            batch = max(each.tokens for each in buckets if not each.prefill)
            self._engine.limit(
                entry.task_id, chunk=min(chunk, limits.chunk), batch=min(batch, limits.batch)
            )
            # With the largest batch, all slots take turns, if there are more of them.
            slots = entry.candidate.cache.slots
            entry.conversation.limit(
                slots if limits.batch >= batch else limits.batch, limits.length
            )

    # -- news of the engine -------------------------------------------------------------------

    def spoken(self, spoken: Spoken) -> None:
        """Take what the engine says, on whichever thread; it is heard on one of their own."""
        self._news.put(spoken)

    def _listen(self) -> None:
        while (spoken := self._news.get()) is not None:
            speaker = self._by_id.get(spoken.task_id)
            if speaker is None:
                continue
            try:
                speaker.conversation.heard(spoken)
            except Exception:  # the answers of others go on
                _log.exception("an answer of %s was not heard", speaker.name)
            self._ran(speaker)

    def _ran(self, entry: _Entry) -> None:
        """Have a generator adapt to what it ran."""
        try:
            figures = entry.cycles.read()
            if not figures:
                return
            use = entry.cycles.device_use()
            for each in figures:
                self._adapting.cycle(entry.name, each, use)
            if self._adapting.limits(entry.name) != entry.limits:
                self._limit(entry)
        except Exception:  # the answers of all go on
            _log.exception("%s did not adapt", entry.name)

    def _note(self, cycle: Cycle) -> None:
        if self._record is not None:
            self._record.note(cycle)

    def _not_kept(self, problem: str) -> None:
        self._log.report(CyclesNotKept(problem))

    def engine_event(self, event: EngineEvent) -> None:
        """Note which generators an engine that was lost brings back, and which not."""
        failed = dict(event.failed)
        for entry in tuple(self._entries.values()):
            if entry.task_id in event.quarantined:
                problem = words(event.reason if event.cause is None else event.cause)
                self._fail(entry, Quarantined(entry.name, problem))
            elif entry.task_id in failed:
                self._fail(entry, TaskNotReloaded(entry.name, failed[entry.task_id]))
            elif isinstance(event.reason, EngineGivenUp):
                self._fail(entry, event.reason)
            elif event.recovered:
                if entry.failure is not None:
                    entry.failure = None
                    if entry.answer.admitted:
                        entry.conversation.resume()
                        self._rejected.drop(entry.name)
                entry.conversation.engine_back()

    def _fail(self, entry: _Entry, reason: Reason) -> None:
        entry.failure = reason
        entry.conversation.pause(reason)
        rationale = self._log.report(reason)
        self._rejected.add(entry.name, Origin(from_file=True), rationale)

    def overran(self, event: OverrunEvent) -> None:
        """Report that a part of a step took longer than its budget."""
        entry = self._by_id.get(event.task_id)
        if entry is None:
            return
        buckets = _in_order(entry.candidate.buckets)
        begins = entry.plan.begins
        at = max(index for index, begin in enumerate(begins) if begin <= event.segment)
        self._log.report_often(
            StepOverran(
                entry.name,
                entry.lane,
                buckets[at].name,
                event.segment - begins[at],
                event.taken_ns,
                event.budget_ns,
            )
        )

    def clear(self) -> None:
        """End all requests and forget everything; the engine has ended."""
        entries, self._entries = tuple(self._entries.values()), {}
        for entry in entries:
            entry.conversation.close(NotConfigured(entry.name))
        if self._thread is not None:
            self._news.put(None)
            self._thread.join()
            self._thread = None
        if self._record is not None:
            self._record.close()
            self._record = None
        for entry in entries:
            self._adapting.remove(entry.name)
        self._by_id.clear()
        self._refused.clear()
        self._admitted.promises = {}
        self._admitted.stepped({})


def _in_order(buckets: Sequence[Bucket]) -> tuple[Bucket, ...]:
    """Return buckets as a plan wants them: chunks first, the smallest one first."""
    return tuple(sorted(buckets, key=lambda each: (not each.prefill, each.tokens)))
