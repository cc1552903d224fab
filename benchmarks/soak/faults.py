"""What is done to the robot, how often, and when: a schedule that follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "DAY_HOURS",
    "PER_BAD_DAY",
    "TIMES",
    "Kind",
    "Planned",
    "counts_for",
    "read_counts",
    "schedule",
]


class Kind(StrEnum):
    """A fault, or a disturbance that is no fault of anybody."""

    ENGINE_KILL = "engine_kill"
    ENGINE_HANG = "engine_hang"
    NODE_KILL = "node_kill"
    DISK_FULL = "disk_full"
    DRIVER_KILL = "driver_kill"
    DRIVER_HANG = "driver_hang"
    GUEST = "guest"
    BAD_MESSAGES = "bad_messages"
    BAD_STAMPS = "bad_stamps"
    ENGINE_KILL_DRIVER_HUNG = "engine_kill_driver_hung"
    ENGINE_KILL_REGISTERING = "engine_kill_registering"
    NODE_KILL_DISK_FULL = "node_kill_disk_full"


# What we call a bad day of a robot, of eight hours; the soak has ten times that rate.
DAY_HOURS = 8.0
TIMES = 10.0
PER_BAD_DAY: Mapping[Kind, int] = {
    Kind.ENGINE_KILL: 160,
    Kind.ENGINE_HANG: 8,
    Kind.NODE_KILL: 40,
    Kind.DISK_FULL: 16,
    Kind.DRIVER_KILL: 8,
    Kind.DRIVER_HANG: 8,
    Kind.GUEST: 24,
    Kind.BAD_MESSAGES: 24,
    Kind.BAD_STAMPS: 12,
    Kind.ENGINE_KILL_DRIVER_HUNG: 8,
    Kind.ENGINE_KILL_REGISTERING: 8,
    Kind.NODE_KILL_DISK_FULL: 8,
}

# Shares of the run. The node lives through the first two, the engine through the second, so that
# both have a life that is long enough for a slope; then the node is killed again and again.
_KILLS, _STEADY = 0.43, 0.42
_LEAD_S = 10.0
_IN = {
    Kind.ENGINE_KILL: (0,),
    Kind.ENGINE_HANG: (0,),
    Kind.NODE_KILL: (2,),
    Kind.ENGINE_KILL_DRIVER_HUNG: (0,),
    Kind.ENGINE_KILL_REGISTERING: (0,),
    Kind.NODE_KILL_DISK_FULL: (2,),
}
_ELSEWHERE = (0, 1)


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come.

    Attributes:
        at_s: since the beginning of the run; not before, but later if the one before is not over.
        kind: what is done.
        variant: a number that says to whom and how, where there is a choice.
        phase: 0 while engines are killed, 1 while neither engine nor node is, 2 while nodes are.
    """

    at_s: float
    kind: Kind
    variant: int
    phase: int


def counts_for(minutes: float) -> dict[Kind, int]:
    """Return how often each fault comes in so many minutes, at least once."""
    hours = minutes / 60.0
    return {
        kind: max(1, round(number / DAY_HOURS * TIMES * hours))
        for kind, number in PER_BAD_DAY.items()
    }


def read_counts(words: Iterable[str], counts: Mapping[Kind, int]) -> dict[Kind, int]:
    """Return the counts with those that were given as ``kind=number``.

    Raises:
        ValueError: no such kind, or no number; the text names what was expected.
    """
    read = dict(counts)
    for word in words:
        name, equals, number = word.partition("=")
        if name not in set(Kind) or not equals or not number.isdecimal():
            kinds = ", ".join(Kind)
            raise ValueError(f"--faults {word}: expected KIND=NUMBER, where KIND is one of {kinds}")
        read[Kind(name)] = int(number)
    return read


def schedule(seed: int, counts: Mapping[Kind, int], minutes: float) -> list[Planned]:
    """Return all faults in their order; the same for the same seed.

    Args:
        seed: of the order, the moments and the variants.
        counts: how often each comes.
        minutes: length of the run.
    """
    chance = random.Random(seed)
    whole_s = minutes * 60.0
    lead_s = min(_LEAD_S, whole_s / 20)
    ends = (lead_s, whole_s * _KILLS, whole_s * (_KILLS + _STEADY), whole_s)
    spans = [(ends[at], ends[at + 1] - ends[at]) for at in range(3)]
    kinds: list[list[Kind]] = [[], [], []]
    for kind, number in counts.items():
        phases = _IN.get(kind, _ELSEWHERE)
        length = sum(spans[phase][1] for phase in phases)
        left = number
        for phase in phases[:-1]:
            part = round(number * spans[phase][1] / length)
            kinds[phase] += [kind] * part
            left -= part
        kinds[phases[-1]] += [kind] * left
    planned = []
    for phase, ((begin_s, length_s), here) in enumerate(zip(spans, kinds, strict=True)):
        chance.shuffle(here)
        for place, kind in enumerate(here):
            at_s = begin_s + (place + 0.8 * chance.random()) * length_s / len(here)
            planned.append(Planned(at_s, kind, chance.randrange(1 << 16), phase))
    return planned
