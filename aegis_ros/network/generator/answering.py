"""Answers one prompt: fills the cache, then chooses token after token until something ends it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from aegis_ros.errors import ConfigError
from aegis_ros.network.generator.answer_text import AnswerText
from aegis_ros.network.generator.buckets import CHUNKS, chunks
from aegis_ros.network.generator.decoder import Decoder
from aegis_ros.network.generator.facts import GeneratorFacts
from aegis_ros.network.generator.sampling import Sampler, Sampling

__all__ = ["Answer", "Ending", "Question"]


class Ending(StrEnum):
    """Why an answer ended."""

    END = "end"  # the model ended it
    STOP = "stop"  # a text was found at which it is to stop
    LENGTH = "length"  # it has as many tokens as were asked for
    CONTEXT = "context"  # the context is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        tokens: of the prompt.
        sampling: how tokens are chosen.
        most: longest answer, tokens.
        stops: texts that end the answer.
        chunk: most tokens of the prompt in one step.

    Raises:
        ConfigError: ``most`` is not positive.
    """

    tokens: Sequence[int]
    sampling: Sampling
    most: int
    stops: Sequence[str] = ()
    chunk: int = CHUNKS[-1]

    def __post_init__(self) -> None:
        """Check the length."""
        if self.most < 1:
            raise ConfigError(
                "out of range", where="max_tokens", value=self.most, expected="at least 1"
            )


class Answer:
    """The answer to one question; iterate over it for its text.

    Attributes:
        tokens: those of the answer so far.
        ending: why it ended; ``None`` while it goes on.
        prompt_s: how long the prompt took, until the first token was known.
        answer_s: how long all tokens but the first took.
    """

    def __init__(
        self, decoder: Decoder, facts: GeneratorFacts, pieces: Sequence[bytes], question: Question
    ) -> None:
        """Compute nothing yet."""
        self._decoder, self._facts, self._question = decoder, facts, question
        self._text = AnswerText(pieces, question.stops)
        self.tokens: list[int] = []
        self.ending: Ending | None = None
        self.prompt_s = self.answer_s = 0.0

    def __iter__(self) -> Iterator[str]:
        """Yield text as it comes; every step runs when the next one is asked for.

        Raises:
            BackendError: the runtime fails, or computes no numbers.
        """
        question, decoder = self._question, self._decoder
        started = time.perf_counter()
        *first, token = question.tokens
        decoder.forget(0)
        at = 0
        for size in chunks(len(first), question.chunk):
            decoder.prefill(first[at : at + size], slot=0)
            at += size
        sampler = Sampler(question.sampling)
        while self.ending is None:
            (logits,) = decoder.decode([token], slot=0)
            token = sampler.choose(logits)
            now = time.perf_counter()
            if self.tokens:
                self.answer_s = now - started - self.prompt_s
            else:
                self.prompt_s = now - started
            self.tokens.append(token)
            text = "" if token in self._facts.ends else self._text.add(token)
            self.ending = self._ended(token)
            if text:
                yield text
        rest = self._text.end()
        if rest:
            yield rest

    def _ended(self, token: int) -> Ending | None:
        if token in self._facts.ends:
            return Ending.END
        if self._text.stopped:
            return Ending.STOP
        if len(self.tokens) >= self._question.most:
            return Ending.LENGTH
        if len(self._question.tokens) + len(self.tokens) > self._facts.context:
            return Ending.CONTEXT
        return None
