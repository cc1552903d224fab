"""Generators that adapt: which of their limits changed, and which figures led to it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import UNTESTED, Inequality, Reason

__all__ = [
    "AdaptationCause",
    "AllocationFailed",
    "ArenaHasRoom",
    "ArenaTight",
    "FewerAreFaster",
    "LimitChanged",
    "NobodyWaits",
    "OutOfMemory",
    "PolicyAsked",
    "PolicyLeftAside",
    "RequestsWait",
    "SlowerWithLength",
]


class AdaptationCause:
    """Why a limit changes; each kind is a frozen dataclass."""

    __slots__ = ()

    def tested(self) -> Inequality:
        """Return the inequality that decided."""
        return UNTESTED


@dataclass(frozen=True, slots=True)
class ArenaHasRoom(AdaptationCause):
    """The arena is used so little that more answers have room.

    Attributes:
        used_bytes: by everything, with what requests that run have reserved.
        arena_bytes: its size.
        then_bytes: at most used with the new limit.
        below: share of the arena below which more answers are tried.
    """

    used_bytes: int
    arena_bytes: int
    then_bytes: int
    below: float

    def tested(self) -> Inequality:
        """Return the use against the threshold."""
        return Inequality(100.0 * self.used_bytes / self.arena_bytes, "<", 100.0 * self.below, "%")


@dataclass(frozen=True, slots=True)
class ArenaTight(AdaptationCause):
    """The arena is used so much that fewer answers are to run.

    Attributes:
        used_bytes: by everything, with what requests that run have reserved.
        arena_bytes: its size.
        above: share of the arena above which there are to be fewer.
    """

    used_bytes: int
    arena_bytes: int
    above: float

    def tested(self) -> Inequality:
        """Return the use against the threshold."""
        return Inequality(100.0 * self.used_bytes / self.arena_bytes, ">", 100.0 * self.above, "%")


@dataclass(frozen=True, slots=True)
class FewerAreFaster(AdaptationCause):
    """Fewer answers at once give more tokens a second, as was measured.

    Attributes:
        before_per_s: tokens a second of a full decode as it was.
        after_per_s: of one as it is to be.
    """

    before_per_s: float
    after_per_s: float

    def tested(self) -> Inequality:
        """Return one speed against the other."""
        return Inequality(self.before_per_s, "<", self.after_per_s, "tokens/s")


@dataclass(frozen=True, slots=True)
class SlowerWithLength(AdaptationCause):
    """Long sequences are decoded so much slower than short ones that others wait for them.

    Attributes:
        tokens: from which length on.
        per_s: tokens a second there.
        short_per_s: tokens a second of short ones, with as many answers at once.
        below: share of that speed below which the length is limited.
        waiting: requests that wait.
    """

    tokens: int
    per_s: float
    short_per_s: float
    below: float
    waiting: int

    def tested(self) -> Inequality:
        """Return the speed against the threshold."""
        return Inequality(self.per_s, "<", self.below * self.short_per_s, "tokens/s")


@dataclass(frozen=True, slots=True)
class RequestsWait(AdaptationCause):
    """Requests have waited for slots all the time for a while.

    Attributes:
        waiting: how many wait now.
        for_ns: how long some did without a break.
    """

    waiting: int
    for_ns: int


@dataclass(frozen=True, slots=True)
class NobodyWaits(AdaptationCause):
    """No request has waited for ``for_ns``."""

    for_ns: int


@dataclass(frozen=True, slots=True)
class AllocationFailed(AdaptationCause):
    """Memory for a request could not be taken.

    Attributes:
        request: its number.
        need_bytes: that it needs; 0 for unknown.
    """

    request: int
    need_bytes: int


@dataclass(frozen=True, slots=True)
class PolicyAsked(AdaptationCause):
    """A policy that is not ours asked for it.

    Attributes:
        policy: its name.
        why: in its own words; may be empty.
    """

    policy: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class LimitChanged(Reason):
    """A limit of a generator changed, within what was admitted.

    Attributes:
        task: the generator.
        limit: ``batch``, ``chunk``, ``length`` or ``precision``.
        before: its value: a number, or the name of a precision.
        after: its value from now on.
        cause: why.
    """

    decision = Decision.INFORMED
    rule = Rule.ADAPTATION

    task: str
    limit: str
    before: int | str
    after: int | str
    cause: AdaptationCause

    def tested(self) -> Inequality:
        """Return the inequality of its cause."""
        return self.cause.tested()


@dataclass(frozen=True, slots=True)
class OutOfMemory(Reason):
    """Memory for a request could not be taken, and it is not tried again.

    Attributes:
        task: the generator.
        request: its number.
        need_bytes: that it needs; 0 for unknown.
        tried: how often.
        batch: how many answers may run at once now.
    """

    decision = Decision.REJECTED
    rule = Rule.ADAPTATION

    task: str
    request: int
    need_bytes: int
    tried: int
    batch: int


@dataclass(frozen=True, slots=True)
class PolicyLeftAside(Reason):
    """A policy of somebody else's failed; ours decides from now on.

    Attributes:
        task: the generator.
        policy: name of the one that failed.
        problem: what it did.
    """

    decision = Decision.INFORMED
    rule = Rule.ADAPTATION

    task: str
    policy: str
    problem: str
