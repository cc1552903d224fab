"""Prompts that come by topic: those that are not asked, and topics that cannot be heard."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = [
    "BadPrompt",
    "CannotTakePrompts",
    "PromptLeftOut",
    "PromptReplaced",
    "PromptWithdrawn",
    "PromptsOfOtherType",
    "StandingPromptBusy",
    "StandingPromptLate",
    "StandingPromptUnseen",
]


@dataclass(frozen=True, slots=True)
class PromptReplaced(Reason):
    """A newer prompt took the place of one that waited to be asked.

    Attributes:
        task: the generator.
        topic: where both came from.
        queue: how many may wait.
    """

    decision = Decision.SKIPPED
    rule = Rule.NEWER_FRAME

    task: str
    topic: str
    queue: int


@dataclass(frozen=True, slots=True)
class PromptLeftOut(Reason):
    """As many prompts wait to be asked as may, and they keep their places.

    Attributes:
        task: the generator.
        topic: where the prompt came from.
        queue: how many may wait.
    """

    decision = Decision.SKIPPED
    rule = Rule.LIMIT

    task: str
    topic: str
    queue: int


@dataclass(frozen=True, slots=True)
class BadPrompt(Reason):
    """A message is no prompt.

    Attributes:
        task: the generator.
        topic: where it came from.
        problem: what is wrong with it.
    """

    decision = Decision.SKIPPED
    rule = Rule.BAD_FRAME

    task: str
    topic: str
    problem: str


@dataclass(frozen=True, slots=True)
class PromptWithdrawn(Reason):
    """The node stopped to take prompts before one that waited was asked.

    Attributes:
        task: the generator.
        topic: where it came from.
    """

    decision = Decision.SKIPPED
    rule = Rule.OPERATOR

    task: str
    topic: str


@dataclass(frozen=True, slots=True)
class StandingPromptBusy(Reason):
    """A standing prompt was due before the one before it had its answer.

    Attributes:
        task: the generator.
        at_once: how many of them may be asked and not answered.
        period_ns: how often one is due.
    """

    decision = Decision.SKIPPED
    rule = Rule.LIMIT

    task: str
    at_once: int
    period_ns: int


@dataclass(frozen=True, slots=True)
class StandingPromptLate(Reason):
    """The node noticed that standing prompts were due only when the next one was.

    Attributes:
        task: the generator.
        period_ns: how often one is due.
    """

    decision = Decision.SKIPPED
    rule = Rule.OVERRUN

    task: str
    period_ns: int


@dataclass(frozen=True, slots=True)
class StandingPromptUnseen(Reason):
    """There was no image that a standing prompt could be about.

    Attributes:
        task: the generator.
        problem: why not.
    """

    decision = Decision.SKIPPED
    rule = Rule.BAD_FRAME

    task: str
    problem: str


@dataclass(frozen=True, slots=True)
class CannotTakePrompts(Reason):
    """The node cannot subscribe to a topic of prompts, or not publish their answers.

    Attributes:
        task: the generator.
        topic: that cannot be used.
        type: of its messages.
        problem: why not.
    """

    decision = Decision.LOST
    rule = Rule.TOPIC_TYPE

    task: str
    topic: str
    type: str
    problem: str


@dataclass(frozen=True, slots=True)
class PromptsOfOtherType(Reason):
    """A publisher on a topic of prompts, or of images, is not heard: it has another type.

    Attributes:
        task: the generator.
        topic: of the prompts or images.
        publisher: full name of its node; empty where it is not known.
        offered: type of its messages.
        requested: that of prompts or images.
    """

    decision = Decision.LOST
    rule = Rule.TOPIC_TYPE

    task: str
    topic: str
    publisher: str
    offered: str
    requested: str
