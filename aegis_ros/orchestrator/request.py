"""A request to a generator: what is asked, what has been said of its answer, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from aegis_ros.network.generator.answer_text import AnswerText
from aegis_ros.network.generator.sampling import Sampling
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import AnswerCapped, AnswerLimited

__all__ = ["WELL_ENDED", "Answer", "Conclusion", "Question", "Request"]


class Conclusion(StrEnum):
    """Why an answer ended; the words of ``Generate.action``."""

    END = "end"  # the model ended it
    STOP = "stop"  # one of the request's texts to stop at came up
    LENGTH = "length"  # it is as long as was asked for
    CONTEXT = "context"  # its slot is full
    CANCELLED = "cancelled"
    LOST = "lost"  # the engine was lost, or could not go on
    REFUSED = "refused"


WELL_ENDED = (Conclusion.END, Conclusion.STOP, Conclusion.LENGTH, Conclusion.CONTEXT)
"""How an answer ends that is one: by itself, by a text to stop at, or by its length."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        tokens: of the prompt.
        most: longest answer, tokens.
        sampling: how tokens are chosen.
        stops: texts that end the answer.
        image: uint8, what the prompt is about, as the model takes it; ``None`` for no image.
    """

    tokens: Sequence[int]
    most: int
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    image: npt.NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as far as it has come.

    Attributes:
        request: its number.
        text: all of it that is certain.
        tokens: how many it has.
        prompt_tokens: of the prompt.
        prompt_ns: from the request until its first token, 0 before.
        answer_ns: from its first token to its latest one.
        ended: why it ended; ``None`` while it goes on.
        reason: why it was cut short, or could not become longer, where nobody asked for that.
    """

    request: int
    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    prompt_ns: int = 0
    answer_ns: int = 0
    ended: Conclusion | None = None
    reason: Reason | None = None

    @property
    def tokens_per_s(self) -> float:
        """How fast its tokens came after the first one; 0 where there are fewer than two."""
        return (self.tokens - 1) * 1e9 / self.answer_ns if self.answer_ns else 0.0


class Request:
    """A request that waits, runs, or is told to end. One caller at a time.

    Args:
        number: of the request.
        question: what is asked.
        text: what its tokens become.
        hear: called with each part of the answer, at last with one that has ended.
        own_place: whether it has a place of its own in line.
        shorter: why its answer gets fewer tokens than it asks for, as far as that is known.

    Attributes:
        number, question, hear, own_place, shorter: as given.
        asked_ns: when it came, monotonic.
        started: whether it was begun with.
        concluded: whether it has its end, which it may have before its slot is free.
        why: what its end will mean, once somebody wants it to end.
    """

    __slots__ = (
        "_first_ns",
        "_last_ns",
        "_said",
        "_text",
        "_tokens",
        "asked_ns",
        "concluded",
        "hear",
        "number",
        "own_place",
        "question",
        "shorter",
        "started",
        "why",
    )

    def __init__(
        self,
        number: int,
        question: Question,
        text: AnswerText,
        hear: Callable[[Answer], None],
        *,
        own_place: bool,
        shorter: AnswerLimited | AnswerCapped | None = None,
    ) -> None:
        """Begin without an answer."""
        self.number = number
        self.question = question
        self.hear = hear
        self.own_place = own_place
        self.shorter = shorter
        self.asked_ns = time.monotonic_ns()
        self.started = False
        self.concluded = False
        self.why: tuple[Conclusion, Reason | None] | None = None
        self._text = text
        self._said = ""
        self._tokens = 0
        self._first_ns = self._last_ns = 0

    @property
    def tokens(self) -> int:
        """How many its answer has."""
        return self._tokens

    def say(self, token: int, at_ns: int, ends: Collection[int]) -> bool:
        """Take the next token of the answer; return whether its text is to stop there.

        Args:
            token: which.
            at_ns: when it was chosen, monotonic.
            ends: tokens that end an answer, and have no text.
        """
        self._tokens += 1
        self._first_ns = self._first_ns or at_ns
        self._last_ns = at_ns
        if token not in ends:
            self._said += self._text.add(token)
        return self._text.stopped

    def conclude(self, ended: Conclusion, reason: Reason | None = None) -> Answer:
        """Give it its end, and return its whole answer."""
        self._said += self._text.end()
        self.concluded = True
        return self.answer(ended, reason)

    def answer(self, ended: Conclusion | None = None, reason: Reason | None = None) -> Answer:
        """Return the answer as far as it has come."""
        first_ns = self._first_ns
        return Answer(
            self.number,
            self._said,
            self._tokens,
            len(self.question.tokens),
            max(0, first_ns - self.asked_ns) if first_ns else 0,
            self._last_ns - first_ns,
            ended,
            reason,
        )
