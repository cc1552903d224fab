"""The requests of one generator: who waits, who has a slot, and who hears of its answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aegis_ros.engine.speech import Asked, Ending, Spoken
from aegis_ros.errors import AegisError
from aegis_ros.memory import KvCache, KvShape, Reserved
from aegis_ros.network.generator.answer_text import AnswerText
from aegis_ros.orchestrator.forecast import Standing, limited
from aegis_ros.orchestrator.request import Answer, Conclusion, Question, Request
from aegis_ros.rationale import Reason, Rule
from aegis_ros.rationale.generators import (
    AnswerCapped,
    AnswerLimited,
    AnswerLost,
    ModelFailed,
    RequestWaits,
    TooManyRequests,
)
from aegis_ros.rationale.rejection import Failed

__all__ = ["Conversation", "Demand", "Speaker", "Vocabulary"]

_log = logging.getLogger(__name__)

_ENDED = {Ending.END: Conclusion.END, Ending.CANCELLED: Conclusion.CANCELLED}


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a generator at one moment.

    Attributes:
        running: requests that have a slot.
        waiting: requests that wait for one.
        since_ns: when the first of those came that have not ended, monotonic; 0 for none.
    """

    running: int
    waiting: int
    since_ns: int


class Speaker(Protocol):
    """What a conversation needs of an engine."""

    def ask(self, task_id: int, asked: Asked) -> None:
        """Begin with a request that has a slot."""

    def cancel(self, task_id: int, request: int) -> None:
        """End a request within a step."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What tokens mean.

    Attributes:
        pieces: bytes of each.
        ends: those that end an answer.
    """

    pieces: Sequence[bytes]
    ends: frozenset[int]


class Conversation:
    """Requests from their tokens to their end. For any thread; who hears is called under no lock.

    A request that has a slot keeps it until the engine says that it has ended, so that no other
    one writes where a step may still be reading.

    Args:
        task_id: number of the generator.
        name: of the generator.
        cache: where requests have their slots.
        most_waiting: requests that may wait for one, beside those with a place of their own.
        words: what tokens mean.
        speaker: runs requests.
        report: where it is reported that a request waits, or gets a shorter answer.
    """

    def __init__(
        self,
        task_id: int,
        name: str,
        cache: KvShape,
        *,
        most_waiting: int,
        words: Vocabulary,
        speaker: Speaker,
        report: Callable[[Reason], object],
    ) -> None:
        """Begin with no request."""
        self.name = name
        self._task_id = task_id
        self._words = words
        self._speaker = speaker
        self._report = report
        self._lock = threading.Lock()
        self._telling = threading.RLock()  # who hears may ask, or cancel
        self._shape = cache
        self._cache = KvCache(name, cache, most_waiting)
        self._most = cache.slots + most_waiting
        self._entered = 0  # whose prompts are being read
        self._latest = 0  # number of a request
        self._requests: dict[int, Request] = {}
        self._sharing = 0  # of them, how many have no place of their own
        self._paused: Reason | None = None
        self._closed = False
        # What is told and reported once the lock is free.
        self._untold: list[tuple[Request, Answer]] = []
        self._unreported: list[Reason] = []
        self._slots = cache.slots
        self._length = self._max_len = cache.max_len
        self._most_waiting = most_waiting

    @property
    def in_hand(self) -> int:
        """How many requests run or wait."""
        return len(self._requests)

    @property
    def paused(self) -> Reason | None:
        """Why no requests are taken; ``None`` where they are."""
        return self._paused

    @property
    def running(self) -> int:
        """How many requests have a slot."""
        with self._lock:
            return len(self._cache.running)

    @property
    def waiting(self) -> int:
        """How many requests wait for a slot."""
        with self._lock:
            return len(self._cache.waiting)

    def demand(self) -> Demand:
        """Return what is asked now."""
        with self._lock:
            since = [each.asked_ns for each in self._requests.values() if not each.concluded]
            return Demand(len(self._cache.running), len(self._cache.waiting), min(since, default=0))

    def limit(self, running: int, length: int) -> None:
        """Let so many requests run from now on; who runs goes on.

        Args:
            running: most requests that have a slot, at least 1.
            length: most tokens of one that comes from now on, its prompt included. Longer prompts
                are answered all the same.
        """
        with self._lock:
            self._length = length
            begun = self._cache.limit(running)
            for reserved in begun:
                self._start(reserved)
        if begun:
            self._tell()

    def enter(self) -> Reason | None:
        """Take a place for a request whose prompt is to be read; :meth:`leave` gives it back.

        Returns:
            Why there is none; ``None`` where there is one.
        """
        with self._lock:
            if self._paused is not None:
                return self._paused
            if self._sharing + self._entered >= self._most:
                return TooManyRequests(self.name, 0, self._slots, self._most_waiting)
            self._entered += 1
            return None

    def leave(self) -> None:
        """Give back what :meth:`enter` took."""
        with self._lock:
            self._entered -= 1

    def ask(
        self, question: Question, hear: Callable[[Answer], None], *, own_place: bool = False
    ) -> int | Reason:
        """Take in a request.

        Args:
            question: what is asked.
            hear: called with each part of the answer, at last with one that has ended.
            own_place: whether it has a place of its own, which it neither takes from others nor
                loses to them; it gets a slot in its turn all the same. Who asks so bounds how many
                there are.

        Returns:
            Its number, or why it is not taken.

        Raises:
            ConfigError: its texts to stop at are not valid.
        """
        text = AnswerText(self._words.pieces, question.stops)
        with self._lock:
            if self._paused is not None:
                return self._paused
            self._latest += 1
            number, prompt = self._latest, len(question.tokens)
            most = limited(question.most, prompt, self._length, self._max_len)
            found = self._cache.ask(number, prompt, most, own_place=own_place)
            if not isinstance(found, Reserved | RequestWaits):
                return found
            shorter = None
            if most < question.most:
                shorter = AnswerLimited(self.name, number, prompt, question.most, prompt + most)
            self._requests[number] = Request(
                number, question, text, hear, own_place=own_place, shorter=shorter
            )
            self._sharing += not own_place
            if isinstance(found, Reserved):
                self._start(found)
            else:
                self._unreported.append(found)
        self._tell()
        return number

    def standing(self) -> Standing:
        """Return how it stands with requests at this moment, for what would become of others."""
        with self._lock:
            return Standing(
                self.name,
                self._cache.copy(),
                latest=self._latest,
                places=self._most - self._sharing - self._entered,
                full=TooManyRequests(self.name, 0, self._slots, self._most_waiting),
                length=self._length,
                max_len=self._max_len,
                paused=self._paused,
            )

    def cancel(self, number: int) -> None:
        """End a request within a step; one that has ended already is left alone."""
        self._end(number, Conclusion.CANCELLED, None)

    def pause(self, reason: Reason) -> None:
        """Take no requests until :meth:`resume`, and end all that are there, for this reason."""
        with self._lock:
            self._paused = reason
            numbers = tuple(self._requests)
        for number in numbers:
            self._end(number, Conclusion.REFUSED, reason)

    def close(self, reason: Reason) -> None:
        """End all that are there at once, and take none more: there will be no engine any more."""
        with self._lock:
            self._paused, self._closed = reason, True
            for request in self._requests.values():
                if not request.concluded:
                    self._conclude(request, Conclusion.REFUSED, reason)
            self._requests.clear()
            self._sharing = 0
            self._cache = KvCache(self.name, self._shape, self._most_waiting)
        self._tell()

    def resume(self) -> None:
        """Take requests again, unless it was closed."""
        with self._lock:
            if not self._closed:
                self._paused = None

    def engine_back(self) -> None:
        """Begin with requests that got a slot while there was no engine."""
        with self._lock:
            for reserved in self._cache.running:
                if not self._requests[reserved.request].started:
                    self._start(reserved)
        self._tell()

    def heard(self, spoken: Spoken) -> None:
        """Take what the engine says; who asked hears of it before this returns."""
        with self._lock:
            request = self._requests.get(spoken.request)
            if request is None:
                return
            self._take(request, spoken)
        self._tell()

    def _take(self, request: Request, spoken: Spoken) -> None:
        """Take what is new of an answer; called under the lock."""
        news = False
        for token, at_ns in zip(spoken.tokens, spoken.times_ns, strict=True):
            if request.concluded:
                break
            news = True
            if request.say(token, at_ns, self._words.ends):
                self._conclude(request, Conclusion.STOP)
                if spoken.ended is None:
                    self._stop(request)
        if spoken.ended is not None:
            if not request.concluded:
                self._conclude(request, *self._meaning(request, spoken.ended, spoken.text))
            self._free(request)
        elif news and not request.concluded:
            self._untold.append((request, request.answer()))

    def _meaning(
        self, request: Request, ended: Ending, text: str
    ) -> tuple[Conclusion, Reason | None]:
        """Return what the end of an answer means, and why it is none that anybody wanted."""
        if ended in (Ending.CANCELLED, Ending.REMOVED) and request.why is not None:
            return request.why
        if ended in (Ending.LENGTH, Ending.CONTEXT):
            full = ended is Ending.CONTEXT or isinstance(request.shorter, AnswerCapped)
            return Conclusion.CONTEXT if full else Conclusion.LENGTH, request.shorter
        known = _ENDED.get(ended)
        if known is not None:
            return known, None
        if ended is Ending.FAILED:
            return Conclusion.LOST, ModelFailed(self.name, request.number, request.tokens, text)
        return Conclusion.LOST, AnswerLost(self.name, request.number, request.tokens)

    def _end(self, number: int, ended: Conclusion, reason: Reason | None) -> None:
        with self._lock:
            request = self._requests.get(number)
            if request is None or request.concluded:
                return
            request.why = ended, reason
            if request.started:
                self._stop(request)
            else:
                self._conclude(request, ended, reason)
                self._free(request)
        self._tell()

    def _start(self, reserved: Reserved) -> None:
        """Begin with a request that has a slot; where it cannot be, with the one that follows."""
        following: Reserved | None = reserved
        while following is not None:
            request = self._requests[following.request]
            if self._begin(request, following):
                return
            following = self._leave(request)

    def _begin(self, request: Request, reserved: Reserved) -> bool:
        """Begin with a request, now or when the engine is back; ``False`` where it is refused."""
        question = request.question
        asked = Asked(
            request.number,
            reserved.slot,
            question.tokens,
            reserved.answer,
            question.sampling,
            question.image,
        )
        try:
            self._speaker.ask(self._task_id, asked)
        except AegisError as error:
            if error.rule is Rule.ENGINE_RESTART:
                return True  # asked again when the engine is back
            self._conclude(request, Conclusion.REFUSED, Failed(self.name, str(error)))
            return False
        request.started = True
        request.shorter = reserved.capped or request.shorter
        if request.shorter is not None:
            self._unreported.append(request.shorter)
        return True

    def _stop(self, request: Request) -> None:
        number = request.number
        try:
            self._speaker.cancel(self._task_id, number)
        except AegisError as error:  # it is gone, and says so of each request by itself
            _log.debug("request %d of %s was not cancelled: %s", number, self.name, error)

    def _free(self, request: Request) -> None:
        """Give the slot of a request, or its place in line, to who follows."""
        following = self._leave(request)
        if following is not None:
            self._start(following)

    def _leave(self, request: Request) -> Reserved | None:
        """Forget a request; return the one that gets its slot."""
        del self._requests[request.number]
        self._sharing -= not request.own_place
        return self._cache.end(request.number)

    def _conclude(self, request: Request, ended: Conclusion, reason: Reason | None = None) -> None:
        self._untold.append((request, request.conclude(ended, reason)))

    def _tell(self) -> None:
        """Have requests hear what is new, in its order; called under no lock."""
        with self._lock:
            unreported, self._unreported = self._unreported, []
        for reason in unreported:
            self._report(reason)
        with self._telling:
            with self._lock:
                untold, self._untold = self._untold, []
            for request, answer in untold:
                try:
                    request.hear(answer)
                except Exception:  # the answers of others go on
                    _log.exception("nobody could be told of an answer")
