"""Lets a generator speak: between two buckets it looks for requests, chooses tokens and goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.generators import Turn
from aegis_ros.engine.conversation import NOBODY, Conversation, Request
from aegis_ros.errors import AegisError
from aegis_ros.memory import KvShape, Reserved
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.sampling import Sampler, Sampling
from aegis_ros.network.generator.vision.facts import NO_ROW, ImageFacts, image_rows
from aegis_ros.scheduling.generation import Generation, Shape

__all__ = ["Rehearsal", "Report", "Speaker"]

_ANY = (2**31, 2**31)  # tokens of a chunk, answers of a decode
_NO_MEMORY = "memory for a step of this answer could not be taken, nor for a smaller one"


class Report(Protocol):
    """Announces what was said."""

    def __call__(
        self, slot: int, number: int, count: int, *, ending: Ending | None = None, text: str = ""
    ) -> None:
        """Announce how many tokens the request in a slot has, and why it ended, if it has."""
        ...


class _Answer:
    __slots__ = (
        "last", "length", "most", "number", "prompt", "refused", "rows", "said", "sampler", "shown",
        "slot",
    )  # fmt: skip

    def __init__(self, slot: int, request: Request, image: ImageFacts | None) -> None:
        # Which row of its image each token of the prompt stands for.
        self.rows = np.full(len(request.tokens), NO_ROW)
        if request.shown and image is not None:
            self.rows = image_rows(request.tokens, image)
        self.shown = request.shown
        self.slot = slot
        self.number = request.number
        self.prompt = request.tokens
        self.most = request.answer
        self.sampler = Sampler(Sampling(request.temperature, request.top_p, request.seed))
        self.length = 0  # tokens in the cache
        self.said = 0
        self.last = 0  # the token said last
        self.refused = 0  # how often in a row there was no memory for its step


class Speaker:
    """The speech of a loaded generator; on its lane's thread only.

    Args:
        shapes: of the plan's buckets.
        facts: of the model.
        conversation: with the node.
        report: announces what was said.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        facts: GeneratorFacts,
        conversation: Conversation,
        report: Report,
    ) -> None:
        """Know no request yet."""
        self._shapes = tuple(shapes)
        self._turns = [Turn(shape) for shape in shapes]
        self._vocabulary = facts.vocabulary
        seen = any(shape.image for shape in shapes)
        self._sees = facts.image if seen else None
        self._unread = False  # the image of the present bucket, by this processor
        self._ends = frozenset(facts.ends)
        self._conversation = conversation
        self._report = report
        self._generation = Generation(shapes)
        # The smallest chunk and the smallest decode stay, whatever the limits are.
        self._least = {
            prefill: min(
                each.tokens for each in shapes if each.prefill is prefill and not each.image
            )
            for prefill in (True, False)
        }
        self._limits = conversation.limits()
        # The largest chunk and batch that there is memory for, until the node sets new limits.
        self._borne = _ANY
        slots = conversation.cache.slots
        self._slots = range(slots)
        self._answers: list[_Answer | None] = [None] * slots
        self._ended = [NOBODY] * slots  # the last request of each slot that has ended
        self._by_number: dict[int, _Answer] = {}
        self._bucket = 0
        self._began_ns = 0
        # What the job goes on with; a step of another bucket is the first one of a new job.
        self._expected: int | None = None

    def begin(self, bucket: int) -> Turn:
        """Return what a bucket runs with."""
        if bucket != self._expected:
            self._look(begins=True)
            self._generation.first()
        elif self._too_long(bucket) or not self._wanted():  # since it was chosen
            self._generation.leave()
        self._expected = None  # until it has ended
        self._unread = False
        self._bucket = bucket
        self._began_ns = time.monotonic_ns()
        turn = self._turns[bucket]
        answers = [self._by_number[number] for number in self._generation.turn]
        if not answers:
            turn.slot = -1
            return turn
        if self._shapes[bucket].image:
            (answer,) = answers
            turn.pixels = self._conversation.pixels(answer.slot)
            self._unread = turn.pixels is None
            turn.slot = -1 if self._unread else answer.slot
            return turn
        if self._shapes[bucket].prefill:
            (answer,) = answers
            turn.slot = answer.slot
            turn.past[0] = answer.length
            after = answer.length + turn.ids.shape[1]
            turn.ids[0] = answer.prompt[answer.length : after]
            turn.rows[0] = answer.rows[answer.length : after]
            return turn
        batch = len(turn.past)
        turn.slot = first = min(min(each.slot for each in answers), len(self._slots) - batch)
        for row in range(batch):
            other = self._answers[first + row]
            # One without a turn writes to where its next token will lie, which is free.
            turn.past[row] = 0 if other is None else other.length
            turn.ids[row, 0] = 0
            turn.rows[row, 0] = NO_ROW
        for answer in answers:
            at = answer.length
            known = at < len(answer.prompt)
            row = answer.slot - first
            turn.ids[row, 0] = answer.prompt[at] if known else answer.last
            turn.rows[row, 0] = answer.rows[at] if known else NO_ROW
        return turn

    def between(self) -> int | None:
        """Return ``None`` where all requests were cancelled, or there is none.

        A bucket that limits no longer allow is left to nobody: whoever lowers them is promised that
        no part of it begins any more. What it was for is taken up again, in smaller ones.
        """
        if self._too_long(self._bucket):
            self._generation.leave()
            self._turns[self._bucket].slot = -1
        if self._wanted():
            return 0
        self._look()
        return 0 if self._by_number else None

    def _wanted(self) -> bool:
        """Return whether anybody still wants an answer."""
        conversation = self._conversation
        for number, answer in self._by_number.items():
            slot = answer.slot
            if conversation.number(slot) == number != conversation.cancelled(slot):
                return True
        return False

    def _too_long(self, bucket: int) -> bool:
        """Return whether limits do not allow a bucket."""
        shape = self._shapes[bucket]
        if shape.image:  # it has no smaller one: without it, no request is left
            return False
        chunk, batch = self._conversation.limits()
        most = chunk if shape.prefill else batch
        return shape.tokens > max(most, self._least[shape.prefill])

    def refused(self) -> bool:
        """Leave the bucket to nobody; have its requests tried once more in one half as large.

        Those that were tried before, and those that have no smaller one, end here.
        """
        shape = self._shapes[self._bucket]
        if shape.image:
            return False
        half = shape.tokens // 2
        answers = [self._by_number[number] for number in self._generation.turn]
        ends = [each for each in answers if each.refused or half < self._least[shape.prefill]]
        tried = [each for each in answers if each not in ends]
        if tried:
            chunk, batch = self._borne
            self._borne = (min(chunk, half), batch) if shape.prefill else (chunk, min(batch, half))
            self._bound()
        self._generation.leave()
        self._turns[self._bucket].slot = -1
        now_ns = time.monotonic_ns()
        for answer in answers:
            answer.refused += 1
        for answer in (*ends, *tried[:1]):  # what is halved is halved once
            self._conversation.note(
                self._bucket,
                len(answers),
                answer.length,
                0,
                taken_ns=now_ns - self._began_ns,
                now_ns=now_ns,
                refused=answer.number,
                tried=answer.refused,
            )
        for answer in ends:
            self._finish(answer, Ending.FAILED, _NO_MEMORY)
        return True

    def end(self, logits: npt.NDArray[np.float32]) -> int | None:
        """Choose tokens, look for what is new, and return the bucket to go on with."""
        generation = self._generation
        now_ns = time.monotonic_ns()
        turn = self._turns[self._bucket]
        if self._unread:
            self._unread = False
            generation.leave()
        count = 0 if self._shapes[self._bucket].image else turn.ids.shape[1]
        longest = answers = tokens = 0
        for number in generation.turn:
            answer = self._by_number[number]
            answer.length += count
            answer.refused = 0
            longest = max(longest, answer.length)
            answers += 1
        news = []
        for token in generation.ended():
            tokens += 1
            answer = self._by_number[token.request]
            logits_of = logits[answer.slot - turn.slot]
            news.append((answer, *self._say(answer, logits_of, now_ns, last=token.last)))
        if answers:
            end_ns = time.monotonic_ns()
            self._conversation.note(
                self._bucket,
                answers,
                longest,
                tokens,
                taken_ns=end_ns - self._began_ns,
                now_ns=end_ns,
            )
        # After the cycle was written down: who hears a token finds what ran for it.
        for answer, ending, text in news:
            if ending is None:
                self._report(answer.slot, answer.number, answer.said)
            else:
                self._finish(answer, ending, text)
        self._look()
        self._expected = generation.following()
        return self._expected

    def _say(
        self, answer: _Answer, logits: npt.NDArray[np.float32], now_ns: int, *, last: bool
    ) -> tuple[Ending | None, str]:
        """Choose the next token of an answer; return whether that ended it, and a problem."""
        try:
            token = answer.sampler.choose(logits)
        except AegisError as error:
            return Ending.FAILED, str(error)
        self._conversation.say(answer.slot, answer.said, token, now_ns)
        answer.last = token
        answer.said += 1
        if token in self._ends:
            return Ending.END, ""
        if last:
            return (Ending.LENGTH if answer.said >= answer.most else Ending.CONTEXT), ""
        return None, ""

    def _look(self, *, begins: bool = False) -> None:
        """Take in a request that is new, and let go of those that nobody wants any more.

        One at a time, which is what budgets of steps cover: the next one after the next step.

        Args:
            begins: whether a job begins: what the node wrote before that is all there.
        """
        conversation = self._conversation
        taken = False
        for slot in self._slots:
            number = conversation.number(slot)
            answer = self._answers[slot]
            if answer is not None:
                if number != answer.number:
                    self._forget(answer)
                elif number == conversation.cancelled(slot):
                    self._finish(answer, Ending.CANCELLED)
            new = number not in (NOBODY, self._ended[slot]) and self._answers[slot] is None
            if new and not taken:
                taken = self._take(slot, number, begins=begins)
        # After the requests: who sets a limit and then asks is answered within it.
        limits = conversation.limits()
        if limits != self._limits:
            self._limits = limits
            self._borne = _ANY
            self._bound()

    def _bound(self) -> None:
        """Have buckets chosen within the limits, and within what there is memory for."""
        (chunk, batch), (most_chunk, most_batch) = self._limits, self._borne
        self._generation.limit(chunk=min(chunk, most_chunk), batch=min(batch, most_batch))

    def _take(self, slot: int, number: int, *, begins: bool) -> bool:
        """Take in the request in a slot, and return whether it is one; refuse what can be none."""
        found = _read(self._conversation, slot, self._vocabulary, self._sees)
        if found is None and not begins:
            return False  # it is still being written
        if found is None:
            found = "the request cannot be read"
        elif number in self._by_number:
            found = "another request has its number"
        if isinstance(found, str):
            self._ended[slot] = number
            self._report(slot, number, 0, ending=Ending.FAILED, text=found)
            return False
        # The last token need not be in the cache.
        most = min(found.most, self._conversation.cache.max_len - len(found.prompt) + 1)
        self._answers[slot] = self._by_number[number] = found
        reserved = Reserved(number, slot, len(found.prompt), most)
        self._generation.take(reserved, image=found.shown)
        return True

    def _finish(self, answer: _Answer, ending: Ending, text: str = "") -> None:
        self._forget(answer)
        self._report(answer.slot, answer.number, answer.said, ending=ending, text=text)

    def _forget(self, answer: _Answer) -> None:
        self._ended[answer.slot] = answer.number
        self._answers[answer.slot] = None
        del self._by_number[answer.number]
        self._generation.end(answer.number)


class Rehearsal:
    """A speech that is only measured: each bucket at the end of a full context.

    After each it does what takes longest after one: it draws a token for each answer, writes the
    cycle down and takes in a request with the longest prompt.

    Args:
        shapes: of the buckets.
        cache: its slots.
        vocabulary: how many tokens there are.
        image: extents of the image that one of them makes the rows of; none for no images.
    """

    def __init__(
        self,
        shapes: Sequence[Shape],
        cache: KvShape,
        vocabulary: int,
        image: tuple[int, ...] = (),
    ) -> None:
        """Prepare what each bucket runs with."""
        self._turns = [Turn(shape) for shape in shapes]
        for shape, turn in zip(shapes, self._turns, strict=True):
            turn.slot = 0
            if shape.image:
                turn.pixels = np.zeros(image, np.uint8)
            else:
                turn.past[:] = cache.max_len - turn.ids.shape[1]
        # What takes longest: to draw from all tokens.
        self._sampler = Sampler(Sampling(1.0, 1.0, 0))
        self._drawn = 0
        self._vocabulary = vocabulary
        self._conversation = Conversation(replace(cache, slots=1))
        prompt = np.zeros(cache.max_len, np.int32)
        self._conversation.ask(0, Request(1, prompt, 1, 1.0, 1.0, 0))

    def begin(self, bucket: int) -> Turn:
        """Return what a bucket runs with where it takes longest."""
        turn = self._turns[bucket]
        if turn.pixels is not None:
            crc32(turn.pixels.data)  # as an image is read
        return turn

    def between(self) -> int | None:
        """Go on."""
        return 0

    def refused(self) -> bool:
        """Fail: what has no memory when it is measured is not admitted."""
        return False

    def end(self, logits: npt.NDArray[np.float32]) -> int | None:
        """Draw a token for each sequence, and take in a request."""
        for row in logits:
            self._drawn += self._sampler.choose(row)
        self._conversation.note(0, 1, 1, len(logits), taken_ns=0, now_ns=time.monotonic_ns())
        _read(self._conversation, 0, self._vocabulary)
        return 0

    def close(self) -> None:
        """Give its memory back."""
        self._conversation.close()


def _read(
    conversation: Conversation, slot: int, vocabulary: int, image: ImageFacts | None = None
) -> _Answer | str | None:
    """Return the request in a slot, or why it can be none; ``None`` where it is not whole."""
    request = conversation.request(slot)
    if request is None:
        return None
    tokens = request.tokens
    if int(tokens.min()) < 0 or int(tokens.max()) >= vocabulary:
        return "a token of the prompt is none of the model"
    if request.answer < 1:
        return "no token is asked for"
    if request.shown and image is None:
        return "the model takes no images"
    if request.shown and image is not None:
        places = int((tokens == image.token).sum())
        if places != image.rows:
            return f"the prompt has {places} places for the {image.rows} rows of its image"
    try:
        return _Answer(slot, request, image)
    except AegisError as error:
        return str(error)
