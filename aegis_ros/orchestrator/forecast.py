"""What would become of requests to a generator that nobody has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aegis_ros.memory import KvCache, Reserved
from aegis_ros.rationale import Reason
from aegis_ros.rationale.generators import (
    AnswerCapped,
    AnswerLimited,
    RequestWaits,
    TooManyRequests,
)

__all__ = ["Forecast", "Standing", "Wanted", "foresee", "limited"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that nobody has made.

    Attributes:
        prompt: its tokens, at least 1.
        answer: tokens of an answer that it asks for, at least 1.
    """

    prompt: int
    answer: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What would become of a request.

    Attributes:
        wanted: the request.
        answer: tokens that its answer could have; 0 where it is refused.
        place: in line, from 1; 0 where it does not wait.
        reasons: why it waits, gets fewer tokens or is refused; none where it runs as it is.
    """

    wanted: Wanted
    answer: int = 0
    place: int = 0
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with the requests of a generator.

    Attributes:
        name: of the generator.
        cache: a copy of its slots and of who waits for one.
        latest: number of the latest request.
        places: how many requests of the action would be taken before others end.
        full: why no more are.
        length: tokens that a request may have at present, its prompt included.
        max_len: tokens of a slot.
        paused: why no requests are taken; ``None`` where they are.
    """

    name: str
    cache: KvCache
    latest: int
    places: int
    full: TooManyRequests
    length: int
    max_len: int
    paused: Reason | None


def limited(answer: int, prompt: int, length: int, max_len: int) -> int:
    """Return how long an answer may become at present; as long as it is asked for, mostly.

    Args:
        answer: tokens that it is asked for.
        prompt: tokens of its prompt; to longer ones than ``length`` the limit does not apply.
        length: tokens that a request may have at present.
        max_len: tokens of a slot, which is no limit of the present.
    """
    return min(answer, length - prompt) if prompt < length < max_len else answer


def foresee(standing: Standing, wanted: Sequence[Wanted]) -> tuple[Forecast, ...]:
    """Return what would become of requests of the action, asked now and one after another.

    Args:
        standing: how it stands now; its copy of the slots is used up.
        wanted: their lengths.
    """
    places, found = standing.places, []
    for number, each in enumerate(wanted, start=standing.latest + 1):
        most = limited(each.answer, each.prompt, standing.length, standing.max_len)
        became: Reason | Reserved
        if standing.paused is not None:
            became = standing.paused
        elif places <= 0:
            became = replace(standing.full, request=number)
        else:
            became = standing.cache.ask(number, each.prompt, most)
        if isinstance(became, RequestWaits | Reserved):
            places -= 1
            found.append(_taken(standing, number, each, became, most=most))
        else:
            found.append(Forecast(each, reasons=(became,)))
    return tuple(found)


def _taken(
    standing: Standing, number: int, wanted: Wanted, became: RequestWaits | Reserved, *, most: int
) -> Forecast:
    reasons: list[Reason] = [became] if isinstance(became, RequestWaits) else []
    room = standing.max_len - wanted.prompt
    if most > room:
        reasons.append(AnswerCapped(standing.name, number, wanted.prompt, most, room))
    elif most < wanted.answer:
        reasons.append(
            AnswerLimited(standing.name, number, wanted.prompt, wanted.answer, wanted.prompt + most)
        )
    place = became.place if isinstance(became, RequestWaits) else 0
    return Forecast(wanted, min(most, room), place, tuple(reasons))
