"""What language models in the engine are asked, until each answer has ended exactly once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from aegis_ros.engine.client.callbacks import Callbacks
from aegis_ros.engine.client.in_flight import InFlight
from aegis_ros.engine.client.process import EngineProcess
from aegis_ros.engine.conversation import Conversation, Cycle, Request
from aegis_ros.engine.speech import Asked, Ending, LoadGenerator, Spoken
from aegis_ros.engine.wire import ENDINGS, OUTPUT_FREE, SPOKEN, Kind, pack_submit
from aegis_ros.errors import EngineError, InputError
from aegis_ros.rationale import Rule

__all__ = ["Speeches"]

# The deadline of a job: one that goes on and on is never late, and its promise is kept elsewhere.
_A_DAY_NS = 86_400_000_000_000
_KNOWN = 1_024  # requests whose numbers are remembered, as many as there are cycles
_UNKNOWN = "the engine has ended without it"


class _Answer:
    """A request that the engine has."""

    __slots__ = ("cancelled", "heard", "number", "request", "slot")

    def __init__(self, asked: Asked, number: int) -> None:
        self.request = asked.request
        self.slot = asked.slot
        self.number = number  # unlike that of any other before: slots are used again
        self.heard = 0  # tokens
        self.cancelled = False


class _Generator:
    """A loaded language model; a job of it runs as long as it is asked for anything."""

    def __init__(self, spec: LoadGenerator, conversation: Conversation) -> None:
        self.spec = spec
        self.conversation = conversation
        self.answers: dict[int, _Answer] = {}  # by number of the request
        self.known: dict[int, int] = {}  # requests by the number that the engine has for them
        self.job = 0  # its number; 0 where none is in flight
        self.shed = False  # its lane takes no job of it

    def add(self, answer: _Answer) -> None:
        self.answers[answer.request] = answer
        self.known[answer.number] = answer.request
        if len(self.known) > _KNOWN:
            del self.known[next(iter(self.known))]

    def find(self, number: int) -> _Answer | None:
        return next((each for each in self.answers.values() if each.number == number), None)

    def end(self, answer: _Answer) -> None:
        del self.answers[answer.request]
        self.conversation.clear(answer.slot)

    def end_all(
        self, ending: Ending, text: str = "", *, cancelled: bool = False, before: int = 0
    ) -> list[Spoken]:
        """End all requests, those that were cancelled, or those with a number before another."""
        found = [
            each
            for each in self.answers.values()
            if (each.cancelled or not cancelled) and (not before or each.number < before)
        ]
        for answer in found:
            self.end(answer)
        task = self.spec.task_id
        return [Spoken(task, answer.request, (), (), ending, text) for answer in found]


class Speeches:
    """The requests of all language models. For any thread; callbacks are called under no lock.

    Args:
        link: to the engine that runs.
        callbacks: hear what is said.
    """

    def __init__(self, link: InFlight, callbacks: Callbacks) -> None:
        """Know no language model."""
        self._link = link
        self._callbacks = callbacks
        self._guard = threading.Lock()
        self._generators: dict[int, _Generator] = {}
        self._next = itertools.count(1).__next__  # numbers of requests and of jobs
        self._late: list[Spoken] = []

    # -- what the node asks for ---------------------------------------------------------------

    def add(self, spec: LoadGenerator, conversation: Conversation) -> None:
        """Take requests for a language model from now on."""
        with self._guard:
            self._generators[spec.task_id] = _Generator(spec, conversation)

    def remove(self, task_id: int) -> None:
        """Take no more requests for a language model; those it has end here."""
        with self._guard:
            generator = self._generators.pop(task_id, None)
            ended = [] if generator is None else generator.end_all(Ending.REMOVED)
        self._report(ended)

    def ask(self, task_id: int, asked: Asked) -> None:
        """As :meth:`~aegis_ros.engine.Engine.ask`."""
        with self._guard:
            generator = self._generators.get(task_id)
            process = self._link.process
            if generator is None:
                raise EngineError("no such language model is loaded", value=task_id)
            if process is None or task_id not in process.generators:
                raise EngineError(
                    "the engine has not loaded the language model (again) yet",
                    where=generator.spec.name,
                    hint="It may be restarting; try again in a few seconds",
                    rule=Rule.ENGINE_RESTART,
                )
            _check(asked, generator)
            answer = _Answer(asked, self._next())
            sampling = asked.sampling
            generator.conversation.ask(
                asked.slot,
                Request(
                    answer.number,
                    np.asarray(asked.tokens, np.int32),
                    asked.answer,
                    sampling.temperature,
                    sampling.top_p,
                    sampling.seed,
                    asked.image is not None,
                    asked.image,
                ),
            )
            generator.add(answer)
            self._begin(generator, process)

    def cancel(self, task_id: int, request: int) -> None:
        """As :meth:`~aegis_ros.engine.Engine.cancel`."""
        with self._guard:
            generator = self._generators.get(task_id)
            answer = None if generator is None else generator.answers.get(request)
            if generator is None or answer is None:
                return
            answer.cancelled = True
            generator.conversation.cancel(answer.slot, answer.number)
            if not generator.job:  # nobody there looks
                self._late += generator.end_all(Ending.CANCELLED, cancelled=True)

    def limit(self, task_id: int, *, chunk: int, batch: int) -> None:
        """As :meth:`~aegis_ros.engine.Engine.limit`."""
        if chunk < 0 or batch < 0:
            raise InputError(
                "a limit is negative",
                where="chunk" if chunk < 0 else "batch",
                value=min(chunk, batch),
                expected="1 or more, or 0 for none",
            )
        with self._guard:
            generator = self._generators.get(task_id)
            if generator is not None:
                generator.conversation.limit(chunk, batch)

    def cycle(self, task_id: int) -> Cycle | None:
        """As :meth:`~aegis_ros.engine.Engine.cycle`."""
        with self._guard:
            generator = self._generators.get(task_id)
        return None if generator is None else generator.conversation.cycle()

    def cycles(self, task_id: int, after: int) -> tuple[Cycle, ...]:
        """As :meth:`~aegis_ros.engine.Engine.cycles`."""
        with self._guard:
            generator = self._generators.get(task_id)
            if generator is None:
                return ()
            found = generator.conversation.cycles(after)
            known = generator.known
            # As the node numbers them: 0 for one that nobody knows any more.
            return tuple(
                replace(each, request=known.get(each.request, 0)) if each.tried else each
                for each in found
            )

    # -- what the engine reports --------------------------------------------------------------

    def spoken(self, buffer: bytearray, size: int) -> None:
        """Take a record of what was said."""
        _, code, task_id, slot, count, number = SPOKEN.unpack_from(buffer)
        ending = ENDINGS[code]
        with self._guard:
            generator = self._generators.get(task_id)
            answer = None if generator is None else generator.find(number)
            if generator is None or answer is None or answer.slot != slot:
                return
            tokens, times_ns = generator.conversation.said(slot, answer.heard, count)
            answer.heard = count
            if ending is not None:
                generator.end(answer)
        text = bytes(buffer[SPOKEN.size : size]).decode(errors="replace")
        self._callbacks.spoken(Spoken(task_id, answer.request, tokens, times_ns, ending, text))

    def done(self, process: EngineProcess, task_id: int, seq: int, slot: int) -> None:
        """Take the end of a job, if it is one of a language model."""
        with self._guard:
            generator = self._generators.get(task_id)
            if generator is None:
                return
            process.give_back(OUTPUT_FREE.pack(Kind.OUTPUT_FREE, task_id, slot))
            if generator.job != seq:
                return
            generator.job = 0
            # It ends when nothing is left of what was asked before it began.
            ended = generator.end_all(Ending.FAILED, _UNKNOWN, before=seq)
            self._begin(generator, process)  # for what was asked meanwhile
        self._report(ended)

    def skipped(self, task_id: int, seq: int, rule: Rule, text: str) -> None:
        """Take a job that does not end, if it is one of a language model."""
        with self._guard:
            generator = self._generators.get(task_id)
            if generator is None or generator.job != seq:
                return
            generator.job = 0
            if rule is Rule.CRITICALITY:  # its caches stay as they are: it goes on later
                generator.shed = True
                ended = generator.end_all(Ending.CANCELLED, cancelled=True)
            else:
                removed = rule is Rule.OPERATOR
                ended = generator.end_all(Ending.REMOVED if removed else Ending.FAILED, text)
        self._report(ended)

    def restored(self, lane: int) -> None:
        """Go on with what a lane shed: it takes all again."""
        with self._guard:
            process = self._link.process
            for generator in self._generators.values():
                if generator.spec.lane == lane and generator.shed:
                    generator.shed = False
                    if process is not None:
                        self._begin(generator, process)

    # -- the life of the engine ---------------------------------------------------------------

    def end_all(self, ending: Ending, text: str) -> None:
        """End all requests: the engine that had them is gone."""
        with self._guard:
            ended, self._late = self._late, []
            for generator in self._generators.values():
                ended += generator.end_all(ending, text)
                generator.job, generator.shed = 0, False
        self._report(ended)

    def settle(self) -> None:
        """Report what was ended by a thread that must not be called back."""
        with self._guard:
            ended, self._late = self._late, []
        self._report(ended)

    def _begin(self, generator: _Generator, process: EngineProcess) -> None:
        """Have a job begin where there is something to do and none is in flight."""
        if generator.job or generator.shed or not generator.answers:
            return
        spec = generator.spec
        generator.job = self._next()
        now = time.monotonic_ns()
        times_ns = (now, now, now + _A_DAY_NS)
        # Never lost: nothing else would let it begin.
        process.give_back(pack_submit(spec.task_id, generator.job, times_ns, b""))

    def _report(self, ended: Iterable[Spoken]) -> None:
        for spoken in ended:
            self._callbacks.spoken(spoken)


def _check(asked: Asked, generator: _Generator) -> None:
    """Refuse what the engine would refuse, and a slot that is taken.

    Raises:
        InputError: names the field.
    """
    cache = generator.spec.cache
    vocabulary = generator.spec.compiled.facts.vocabulary
    count = len(asked.tokens)
    sound = count and min(asked.tokens) >= 0 and max(asked.tokens) < vocabulary
    image = None if asked.image is None else asked.image.shape
    takes = generator.spec.compiled.facts.image_shape
    taken = {each.slot for each in generator.answers.values()}
    for where, valid, value, expected in (
        ("request", asked.request not in generator.answers, asked.request, "one that is not there"),
        ("slot", 0 <= asked.slot < cache.slots, asked.slot, f"0 to {cache.slots - 1}"),
        ("slot", asked.slot not in taken, asked.slot, "a free one"),
        ("tokens", 1 <= count <= cache.max_len, count, f"1 to {cache.max_len} tokens"),
        ("tokens", sound, "others", f"tokens from 0 to {vocabulary - 1}"),
        (
            "image",
            image is None or image == takes,
            image,
            f"uint8 {list(takes)}" if takes else "none",
        ),
        ("answer", asked.answer >= 1, asked.answer, "at least 1 token"),
    ):
        if not valid:
            raise InputError(
                "the request cannot be taken", where=where, value=value, expected=expected
            )
