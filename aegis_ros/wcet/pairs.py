"""Compares how long a network takes with each other network to how long it takes alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aegis_ros.wcet.condition import Cache, Condition, Neighbour, Place, Stress
from aegis_ros.wcet.profile import Profile

__all__ = ["Pair", "alone", "pairs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """What one neighbour does to a network, in units of its median alone.

    Attributes:
        neighbour: the other network; ``None`` for the network alone.
        runs: measured with it.
        median: median of these runs.
        worst: slowest of them.
    """

    neighbour: Neighbour | None
    runs: int
    median: float
    worst: float


def alone(profile: Profile) -> Pair | None:
    """Return the network alone, with warm caches: its median is 1. ``None`` if never measured."""
    found = [each for each in profile.conditions if each == _base(each)]
    return _pair(profile, found[0]) if found else None


def pairs(profile: Profile) -> tuple[Pair, ...]:
    """Return every neighbour that was measured beside the network alone on the same inputs."""
    found = [
        _pair(profile, condition)
        for condition in profile.conditions
        if condition.neighbour is not None and condition.neighbour.place is not Place.AT_ONCE
    ]
    return tuple(each for each in found if each is not None)


def _base(condition: Condition) -> Condition:
    return replace(condition, stress=Stress.NONE, cache=Cache.WARM, neighbour=None)


def _pair(profile: Profile, condition: Condition) -> Pair | None:
    base = profile.of(_base(condition)).sum(axis=1)
    if base.size == 0:
        return None
    times = profile.of(condition).sum(axis=1) / float(np.median(base))
    return Pair(condition.neighbour, times.size, float(np.median(times)), float(times.max()))
