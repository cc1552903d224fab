"""Results that cannot be decoded, held or published."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Reason

__all__ = [
    "CannotPublish",
    "DecoderFailed",
    "NotPublished",
    "PublishingTooSlow",
    "ResultNotFinite",
    "ResultUnwanted",
    "RowsLeftOut",
    "TooManyHeld",
]


@dataclass(frozen=True, slots=True)
class PublishingTooSlow(Reason):
    """A result was dropped: so many wait to be published already."""

    decision = Decision.LOST
    rule = Rule.LIMIT

    task: str
    job: int
    waiting: int


@dataclass(frozen=True, slots=True)
class ResultUnwanted(Reason):
    """A result arrived when its task had been removed, or its publishers were gone."""

    decision = Decision.SKIPPED
    rule = Rule.OPERATOR

    task: str
    job: int


@dataclass(frozen=True, slots=True)
class TooManyHeld(Reason):
    """A result was dropped: too many are held for their constant latency."""

    decision = Decision.LOST
    rule = Rule.LIMIT

    task: str
    job: int
    constant_latency_ns: int


@dataclass(frozen=True, slots=True)
class NotPublished(Reason):
    """A result could not be published."""

    decision = Decision.LOST
    rule = Rule.DECODER_FAILED

    task: str
    job: int
    problem: str


@dataclass(frozen=True, slots=True)
class DecoderFailed(Reason):
    """A decoder failed; the result was published without what it would have made of it."""

    decision = Decision.INFORMED
    rule = Rule.DECODER_FAILED

    task: str
    job: int
    decoder: str
    problem: str


@dataclass(frozen=True, slots=True)
class CannotPublish(Reason):
    """The node cannot publish on a task's topic."""

    decision = Decision.LOST
    rule = Rule.TOPIC_TYPE

    task: str
    topic: str
    problem: str


@dataclass(frozen=True, slots=True)
class ResultNotFinite(Reason):
    """Outputs of a network hold NaN or infinite numbers; the result was published."""

    decision = Decision.INFORMED
    rule = Rule.NOT_FINITE

    task: str
    job: int
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RowsLeftOut(Reason):
    """A network found more rows than are kept of an output; the first ``kept`` are published."""

    decision = Decision.INFORMED
    rule = Rule.LIMIT

    task: str
    job: int
    output: str
    kept: int
    found: int
