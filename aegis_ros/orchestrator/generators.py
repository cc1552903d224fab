"""The generators of a node: admitted beside the tasks, and judged again whenever those change."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from aegis_ros.analysis import AnalysisTask
from aegis_ros.engine import Engine
from aegis_ros.engine.events import EngineEvent, OverrunEvent
from aegis_ros.engine.speech import LoadGenerator, Spoken
from aegis_ros.errors import AegisError
from aegis_ros.memory import Holding
from aegis_ros.orchestrator.admissions import Ticket, cancelled_reason
from aegis_ros.orchestrator.admitted import AdmittedSet, Origin
from aegis_ros.orchestrator.conversation import Conversation, Vocabulary
from aegis_ros.orchestrator.cycle_reader import CycleReader
from aegis_ros.orchestrator.generator_entry import GeneratorEntry, to_load
from aegis_ros.orchestrator.generator_judging import GeneratorJudging
from aegis_ros.orchestrator.generator_news import GeneratorNews
from aegis_ros.orchestrator.generator_summary import refused_summary
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.rejected import Rejected
from aegis_ros.orchestrator.shown import Shown
from aegis_ros.orchestrator.types import AdmissionStage, GeneratorSummary
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.planning.generator_preparation import (
    GeneratorCandidate,
    GeneratorPreparation,
)
from aegis_ros.planning.in_slack import judge_generators
from aegis_ros.planning.refusal import Refusal
from aegis_ros.rationale import Rationale, Reason
from aegis_ros.rationale.engine import (
    EngineGivenUp,
    NotUnloaded,
    Quarantined,
    TaskNotReloaded,
)
from aegis_ros.rationale.generators import (
    BucketsChanged,
    CacheTooLarge,
    GeneratorAdmitted,
    GeneratorRefused,
    StepOverran,
    UnknownGenerator,
)
from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.rejection import Failed, Invalid, NameTaken, NotConfigured, Unforeseen
from aegis_ros.rationale.wording import words
from aegis_ros.spec import DeviceSpec, GeneratorSpec
from aegis_ros.trace.history import TracedTask
from aegis_ros.wcet import ProfileStore

__all__ = ["Generators"]

_LONGEST_PART_S = 2.0  # that is waited for, or twice as long as one may take
_LOOK_S = 0.005
_log = logging.getLogger(__name__)


Running = Mapping[str, tuple[AnalysisTask, str]]


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

    Attributes:
        shown: where the images come from that their prompts are about.
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
        self.shown = Shown()
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
        self._entries: dict[str, GeneratorEntry] = {}
        self._by_id: dict[int, GeneratorEntry] = {}
        self._refused: dict[str, GeneratorSummary] = {}
        self._showing = threading.Lock()
        self._came = False  # whether what is coming is known to the next settlement
        self._news = GeneratorNews(engine, log, record, self._by_id.get)

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
            entry.summary(
                adapted,
                stepped_ns=cycle.ended_ns if (cycle := self._engine.cycle(entry.task_id)) else 0,
            )
            for adapted in self._news.summaries()
            if (entry := entries.get(adapted.name)) is not None
        )
        return (*admitted, *refused)

    def traced(self) -> tuple[TracedTask, ...]:
        """Return what a trace says of each: the step that each of its segments is a part of."""
        return tuple(each.traced() for each in tuple(self._entries.values()))

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
            with ExitStack() as undo:
                entry = self._loaded(candidate, answer, ticket, undo)
                with self._changing:
                    ticket.at(AdmissionStage.LOADING)  # the last moment to cancel it
                    ticket.settled = True
                    undo.pop_all()
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
        except Exception as error:  # a mistake of ours: tasks run
            _log.error("generator %s: %s", spec.name, printable(traceback.format_exc().rstrip()))
            reason = Unforeseen(spec.name, repr(error))
        if ticket.stop.is_set:
            reason = cancelled_reason(ticket)
        rationale = self._log.report(reason)
        self._rejected.add(spec.name, Origin(from_file=True), rationale)
        self._refused[spec.name] = refused_summary(spec, reason)
        return rationale

    def _admitted_answers(self) -> list[GeneratorAnswer]:
        return [each.answer for each in self._entries.values() if each.answer.admitted]

    def _loaded(
        self,
        candidate: GeneratorCandidate,
        answer: GeneratorAnswer,
        ticket: Ticket,
        undo: ExitStack,
    ) -> GeneratorEntry:
        """Load a generator with all its buckets, limited to those that it may run."""
        ticket.at(AdmissionStage.LOADING)
        spec = candidate.spec
        loaded = to_load(self._new_id(), candidate, answer, self._device)
        self._engine.load_generator(loaded)
        undo.callback(self._unload, loaded)
        facts = candidate.prepared.facts
        conversation = Conversation(
            loaded.task_id,
            spec.name,
            candidate.cache,
            most_waiting=spec.waiting,
            words=Vocabulary(candidate.prepared.pieces, frozenset(facts.ends)),
            speaker=self._engine,
            report=self._log.report_often,
        )
        cycles = CycleReader(loaded, conversation, self._engine, memory=self._memory)
        undo.callback(self._news.forget, spec.name)
        entry = GeneratorEntry(
            loaded.task_id,
            candidate,
            loaded.plan,
            first=answer,
            answer=answer,
            conversation=conversation,
            cycles=cycles,
            limits=self._news.adapt(answer, spec.adaptation),
        )
        self._news.enforce(entry)
        self._news.begin()
        return entry

    def _unload(self, loaded: LoadGenerator) -> None:
        """Take one out of the engine that is not admitted after all."""
        try:
            self._engine.unload(loaded.task_id)
        except AegisError as error:
            self._log.report(NotUnloaded(loaded.name, str(error)))

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

    def narrow(self, answers: Sequence[GeneratorAnswer]) -> tuple[str, ...]:
        """Have generators do no more than this, before a task comes for which they must not.

        That holds, whatever else changes, until :meth:`widen`. Returns once no part runs any more
        that began before.

        Args:
            answers: as :meth:`beside` returns them.

        Returns:
            The generators of which such a part still runs after a long time.
        """
        narrowed = []
        for answer in answers:
            entry = self._entries.get(answer.generator.name)
            if entry is not None:
                entry.coming = answer
                if entry.borne is not entry.answer:
                    self._news.enforce(entry)
                    narrowed.append((entry, self._cycle(entry)))
        return tuple(entry.name for entry, before in narrowed if not self._ended(entry, before))

    def _ended(self, entry: GeneratorEntry, before: int) -> bool:
        """Wait for the part of a generator that runs, and return whether it has ended.

        No part begins that its limits do not allow: where other tasks leave it no time, nothing
        has to be waited for.

        Args:
            entry: the generator.
            before: how many of its steps had ended when its limits were lowered.
        """
        longest_s = max(_LONGEST_PART_S, 2 * max(entry.plan.budgets_ns) / 1e9)
        end = time.monotonic() + longest_s
        where = [lane.name for lane in self._device.lanes].index(entry.lane)
        while entry.conversation.running and time.monotonic() < end:
            time.sleep(_LOOK_S)  # first: a lane is seen to be busy a moment after it has become so
            lanes = self._engine.status().lanes
            runs = where < len(lanes) and lanes[where].task_id == entry.task_id
            if not runs or self._cycle(entry) > before:
                return True
        return not entry.conversation.running

    def _cycle(self, entry: GeneratorEntry) -> int:
        """Return how many steps of a generator have ended."""
        cycle = self._engine.cycle(entry.task_id)
        return 0 if cycle is None else cycle.number

    def widen(self) -> None:
        """Have the next :meth:`settle` decide alone: the task came, or does not come.

        Called under the orchestrator's lock.
        """
        self._came = True

    def settle(self) -> None:
        """Give every generator what its lane bears now, and report what has changed.

        Called under the orchestrator's lock.
        """
        came, self._came = self._came, False
        self._admitted.promises = {
            task.name: (task, each.lane)
            for each in self._entries.values()
            if (task := each.answer.generator.promise()) is not None
        }
        for answer in self.beside(self._admitted.running()):
            self._apply(self._entries[answer.generator.name], answer, came=came)
        self._admitted.stepped(
            {
                each.answer.step_name: (each.answer.step(), each.lane)
                for each in self._entries.values()
                if each.answer.admitted
            }
        )

    def _apply(self, entry: GeneratorEntry, answer: GeneratorAnswer, *, came: bool) -> None:
        before, entry.answer = entry.answer, answer
        if came:
            entry.coming = None
        if answer.admitted and before.buckets != answer.buckets:
            self._news.adapt(answer, entry.candidate.spec.adaptation)
        self._news.enforce(entry)
        rationale = None
        if before.admitted is not answer.admitted:
            rationale = self._log.report(answer.reason)
        elif before.buckets != answer.buckets:
            reason = answer.reason
            assert isinstance(reason, GeneratorAdmitted)
            names = [tuple(each.name for each in one.buckets) for one in (before, answer)]
            self._log.report(BucketsChanged(entry.name, entry.lane, reason.borne, *names))
        self._show(entry, rationale)

    def _show(self, entry: GeneratorEntry, rationale: Rationale | None = None) -> None:
        """List a generator among those that do not run, or no longer.

        Args:
            entry: the generator.
            rationale: of the decision that may be why.
        """
        with self._showing:
            problem = entry.problem
            if problem == entry.shown:
                return
            entry.shown = problem
            if problem is None:
                self._rejected.drop(entry.name)
                return
            if rationale is None or rationale.reason != problem:
                rationale = self._log.make(problem)
            self._rejected.add(entry.name, Origin(from_file=True), rationale)

    # -- memory that runs short ---------------------------------------------------------------

    def best_effort(self) -> tuple[str, ...]:
        """Return the names of those that are promised nothing, and that the engine runs."""
        return tuple(
            each.name
            for each in tuple(self._entries.values())
            if not each.candidate.spec.tokens_per_s and each.failure is None
        )

    def id_of(self, name: str) -> int | None:
        """Return the number of one that is admitted; ``None`` where none has this name."""
        entry = self._entries.get(name)
        return None if entry is None else entry.task_id

    def squeeze(self, without_memory: Mapping[str, Reason]) -> None:
        """Have these take no requests, and all others take theirs again.

        Args:
            without_memory: by name, why there is no memory for it.
        """
        for entry in tuple(self._entries.values()):
            why = without_memory.get(entry.name)
            if (why is None) is not (entry.squeezed is None):
                entry.squeezed = why
                self._news.enforce(entry)

    def load_again(self, name: str) -> None:
        """Load one that was taken out of the engine; its requests wait until it is resumed.

        Raises:
            AegisError, OSError, MemoryError: it does not work.
        """
        entry = self._entries.get(name)
        if entry is None:
            return
        self._engine.unload(entry.task_id)  # where something else has loaded it meanwhile
        loaded = to_load(entry.task_id, entry.candidate, entry.answer, self._device)
        self._engine.load_generator(loaded)
        entry.cycles = CycleReader(loaded, entry.conversation, self._engine, memory=self._memory)

    # -- news of the engine -------------------------------------------------------------------

    def spoken(self, spoken: Spoken) -> None:
        """Take what the engine says, on whichever thread; it is heard on one of their own."""
        self._news.spoken(spoken)

    def engine_event(self, event: EngineEvent) -> None:
        """Note which generators an engine that was lost brings back, and which not."""
        failed = dict(event.failed)
        for entry in tuple(self._entries.values()):
            if entry.task_id in event.quarantined:
                if not isinstance(entry.failure, Quarantined):  # each recovery names it anew
                    problem = words(event.reason if event.cause is None else event.cause)
                    self._fail(entry, Quarantined(entry.name, problem))
            elif entry.task_id in failed:
                self._fail(entry, TaskNotReloaded(entry.name, failed[entry.task_id]))
            elif isinstance(event.reason, EngineGivenUp):
                if entry.failure is None:
                    self._fail(entry, event.reason)
            elif event.recovered:
                if entry.failure is not None:
                    entry.failure = None
                    self._news.enforce(entry)
                    self._show(entry)
                entry.conversation.engine_back()

    def _fail(self, entry: GeneratorEntry, reason: Reason) -> None:
        entry.failure = reason
        self._news.enforce(entry)
        self._show(entry, self._log.report(reason))

    def overran(self, event: OverrunEvent) -> None:
        """Report that a part of a step took longer than its budget."""
        entry = self._by_id.get(event.task_id)
        if entry is None:
            return
        bucket, part = entry.part(event.segment)
        self._log.report_often(
            StepOverran(
                entry.name,
                entry.lane,
                bucket,
                part,
                event.taken_ns,
                event.budget_ns,
            )
        )

    def close(self) -> None:
        """End all requests, and take none more: the engine is about to end."""
        for entry in tuple(self._entries.values()):
            entry.conversation.close(NotConfigured(entry.name))

    def clear(self) -> None:
        """Forget everything; the engine has ended."""
        self.close()  # what was admitted meanwhile
        entries, self._entries = tuple(self._entries.values()), {}
        self._news.end(entry.name for entry in entries)
        self._by_id.clear()
        self._refused.clear()
        self._admitted.promises = {}
        self._admitted.stepped({})
