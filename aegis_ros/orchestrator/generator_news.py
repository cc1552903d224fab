"""What an engine says of generators, on a thread of their own; each adapts to what it ran."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue

from aegis_ros.engine import Engine
from aegis_ros.engine.speech import Spoken
from aegis_ros.orchestrator.adapting import AdaptedSummary, Adapting
from aegis_ros.orchestrator.cycle_record import Cycle, CycleRecord
from aegis_ros.orchestrator.generator_entry import GeneratorEntry
from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.planning.generator import GeneratorAnswer
from aegis_ros.rationale.requests import CyclesNotKept
from aegis_ros.scheduling.adaptation import Limits, MemoryFailure

__all__ = ["GeneratorNews"]

_log = logging.getLogger(__name__)


class GeneratorNews:
    """Has requests hear of their answers, and generators adapt after every cycle.

    Args:
        engine: runs them.
        log: where decisions are reported.
        record: file that every cycle is kept in; ``None`` for none.
        find: returns the generator that has a number; ``None`` where none has it.
    """

    def __init__(
        self,
        engine: Engine,
        log: RationaleLog,
        record: Path | None,
        find: Callable[[int], GeneratorEntry | None],
    ) -> None:
        """Hear nothing yet."""
        self._engine = engine
        self._log = log
        self._find = find
        self._record_path = record
        self._record: CycleRecord | None = None
        self._adapting = Adapting(log.report, self._note)
        self._enforcing = threading.Lock()
        self._news: SimpleQueue[Spoken | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Hear from now on."""
        if self._thread is None:
            if self._record_path is not None:
                self._record = CycleRecord(self._record_path, on_problem=self._not_kept)
            self._thread = threading.Thread(target=self._listen, name="generators", daemon=True)
            self._thread.start()

    def end(self, names: Iterable[str]) -> None:
        """Hear nothing more.

        Args:
            names: of the generators that adapt no more.
        """
        if self._thread is not None:
            self._news.put(None)
            self._thread.join()
            self._thread = None
        if self._record is not None:
            self._record.close()
            self._record = None
        for name in names:
            self.forget(name)

    def spoken(self, spoken: Spoken) -> None:
        """Take what the engine says, on whichever thread."""
        self._news.put(spoken)

    def summaries(self) -> tuple[AdaptedSummary, ...]:
        """Return how each generator fares."""
        return self._adapting.summaries()

    def adapt(self, answer: GeneratorAnswer, policy: str) -> Limits:
        """Have a generator choose anew among what is admitted; return what it begins with.

        Args:
            answer: says what that is.
            policy: name of the one that chooses.

        Raises:
            ConfigError: there is no such policy, or the import of another's fails.
        """
        return self._adapting.add(answer.generator.name, answer.menu(), policy)

    def forget(self, name: str) -> None:
        """Have a generator adapt no more."""
        self._adapting.remove(name)

    def enforce(self, entry: GeneratorEntry) -> None:
        """Have a generator do what it chose, and no more than its lane and the engine bear.

        The one place that limits, pauses and resumes it: whatever of it changes, in whatever order,
        the last one to come here sees all of that.
        """
        with self._enforcing:
            borne = entry.borne
            problem = entry.failure or entry.squeezed
            problem = problem or (None if borne.admitted else borne.reason)
            if problem is not None:
                entry.conversation.pause(problem)
                return
            limits = entry.limits = self._adapting.limits(entry.name) or entry.limits
            chunk = max(each.tokens for each in borne.buckets if each.kind == "prefill")
            batch = max(each.tokens for each in borne.buckets if each.kind == "decode")
            self._engine.limit(
                entry.task_id, chunk=min(chunk, limits.chunk), batch=min(batch, limits.batch)
            )
            # With the largest batch, all slots take turns, if there are more of them.
            slots = entry.candidate.cache.slots
            entry.conversation.limit(
                slots if limits.batch >= batch else limits.batch, limits.length
            )
            entry.conversation.resume()

    def _listen(self) -> None:
        while (spoken := self._news.get()) is not None:
            speaker = self._find(spoken.task_id)
            if speaker is None:
                continue
            try:
                speaker.conversation.heard(spoken)
            except Exception:  # the answers of others go on
                _log.exception("an answer of %s was not heard", speaker.name)
            self._ran(speaker)

    def _ran(self, entry: GeneratorEntry) -> None:
        """Have a generator adapt to what it ran."""
        try:
            figures = entry.cycles.read()
            if not figures:
                return
            use = entry.cycles.device_use()
            for each in figures:
                if isinstance(each, MemoryFailure):
                    self._adapting.failed(entry.name, each)
                else:
                    self._adapting.cycle(entry.name, each, use)
            if self._adapting.limits(entry.name) != entry.limits:
                self.enforce(entry)
        except Exception:  # the answers of all go on
            _log.exception("%s did not adapt", entry.name)

    def _note(self, cycle: Cycle) -> None:
        if self._record is not None:
            self._record.note(cycle)

    def _not_kept(self, problem: str) -> None:
        self._log.report(CyclesNotKept(problem))
