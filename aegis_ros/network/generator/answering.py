"""Answers prompts: fills caches, then chooses token after token until each answer ends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.answer_text import AnswerText
from aegis_ros.network.generator.buckets import CHUNKS, batches, chunks
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.ending import Ending
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.sampling import Sampler, Sampling
from aegis_ros.network.generator.vision.facts import NO_ROW, image_rows

__all__ = ["Answer", "Question", "answered"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        tokens: of the prompt.
        sampling: how tokens are chosen.
        most: longest answer, tokens.
        stops: texts that end the answer.
        chunk: most tokens of the prompt in one step.
        image: uint8 pixels that the prompt is about, as the model's encoder takes them; ``None``
            for none.

    Raises:
        ConfigError: ``most`` is not positive.
    """

    tokens: Sequence[int]
    sampling: Sampling
    most: int
    stops: Sequence[str] = ()
    chunk: int = CHUNKS[-1]
    image: npt.NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Check the length."""
        if self.most < 1:
            raise ConfigError(
                "out of range", where="max_tokens", value=self.most, expected="at least 1"
            )


class Answer:
    """The answer to one question, as far as it has come.

    Attributes:
        question: what was asked.
        tokens: those of the answer.
        ending: why it ended; ``None`` while it goes on.
        prompt_s: how long the prompt took, until the first token was known.
        answer_s: how long all tokens but the first took.
    """

    def __init__(self, facts: GeneratorFacts, pieces: Sequence[bytes], question: Question) -> None:
        """Begin with no token."""
        self.question = question
        self.tokens: list[int] = []
        self.ending: Ending | None = None
        self.prompt_s = self.answer_s = 0.0
        self._facts = facts
        self._text = AnswerText(pieces, question.stops)
        self._sampler = Sampler(question.sampling)
        self._started = time.perf_counter()
        self._rows = np.full(len(question.tokens), NO_ROW)
        if facts.image is not None and question.image is not None:
            self._rows = image_rows(question.tokens, facts.image)

    @property
    def next_token(self) -> int:
        """The token that is to be put into the cache next, for the logits of the one after it."""
        return self.tokens[-1] if self.tokens else self.question.tokens[-1]

    @property
    def next_row(self) -> int:
        """Which row of the image that token stands for, or ``NO_ROW``."""
        return NO_ROW if self.tokens else int(self._rows[-1])

    def begin(self, decoder: Decoder, slot: int) -> None:
        """Put all of the prompt but its last token into the cache of a slot, after its image."""
        self._started = time.perf_counter()
        decoder.forget(slot)
        image = self.question.image
        if image is not None and decoder.encoder is not None:
            decoder.show(decoder.encoder.encode(image), slot)
        before = self.question.tokens[:-1]
        at = 0
        for size in chunks(len(before), self.question.chunk):
            after = at + size
            decoder.prefill(before[at:after], slot=slot, rows=self._rows[at:after])
            at = after

    def take(self, logits: npt.NDArray[np.float32]) -> str:
        """Choose the next token; return the text that is certain now.

        Args:
            logits: float32 [vocabulary], after :attr:`next_token`.

        Raises:
            BackendError: they are no numbers.
        """
        token = self._sampler.choose(logits)
        passed = time.perf_counter() - self._started
        if self.tokens:
            self.answer_s = passed - self.prompt_s
        else:
            self.prompt_s = passed
        self.tokens.append(token)
        text = "" if token in self._facts.ends else self._text.add(token)
        self.ending = self._ended(token)
        return text if self.ending is None else text + self._text.end()

    def _ended(self, token: int) -> Ending | None:
        if token in self._facts.ends:
            return Ending.END
        if self._text.stopped:
            return Ending.STOP
        if len(self.tokens) >= self.question.most:
            return Ending.LENGTH
        if len(self.question.tokens) + len(self.tokens) > self._facts.context:
            return Ending.CONTEXT
        return None


def answered(decoder: Decoder, answers: Sequence[Answer]) -> Iterator[tuple[Answer, str]]:
    """Yield the text of answers as it comes; every step runs when the next one is asked for.

    As many are answered at once as the decoder has slots; the others wait in their order, and each
    begins as soon as one has ended.

    Args:
        decoder: is used by nobody else meanwhile.
        answers: none of which has begun.

    Raises:
        BackendError: the runtime fails, or computes no numbers.
    """
    waiting = deque(answers)
    running: list[Answer] = []  # by slot
    while waiting or running:
        while waiting and len(running) < decoder.slots:
            waiting[0].begin(decoder, len(running))
            running.append(waiting.popleft())
        at = 0
        for size in batches(len(running), decoder.largest_batch):
            some = running[at : at + size]
            logits = decoder.decode(
                [each.next_token for each in some], slot=at, rows=[each.next_row for each in some]
            )
            for answer, row in zip(some, logits, strict=True):
                text = answer.take(row)
                if text:
                    yield answer, text
            at += size
        for slot in reversed(range(len(running))):
            if running[slot].ending is not None:
                last = running.pop()
                if slot < len(running):  # what runs stays without gaps, so that it is one batch
                    decoder.move(len(running), slot)
                    running[slot] = last
