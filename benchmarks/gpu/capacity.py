"""Finds the rate at which frames begin to be late or left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Probe", "capacity"]

_MISSED = 0.005  # a smaller share is chance in a probe of a second
_STEP = 1.3
_FIRST = 0.6
_LEAST, _MOST = 0.1, 12.0
_HALVINGS = 3  # after which it is known to 3 %


@dataclass(frozen=True, slots=True)
class Probe:
    """What was seen at one rate.

    Attributes:
        rate: that was tried.
        frames: sent.
        missed: of those, how many were late or gave no result.
        cores: processor cores that the way used meanwhile.
    """

    rate: float
    frames: int
    missed: int
    cores: float = 0.0

    @property
    def misses(self) -> bool:
        """Whether more was missed than by chance; nothing sent counts as missed."""
        return self.missed > _MISSED * self.frames or not self.frames

    def as_values(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def capacity(probe: Callable[[float], Probe]) -> tuple[float, list[Probe]]:
    """Return the highest rate found that misses nothing, and all that was tried.

    Climbs until frames are missed (or descends until none are), then halves what lies between.

    Args:
        probe: runs at a rate for a short while.
    """
    tried = [probe(_FIRST)]
    up = not tried[0].misses
    while tried[-1].misses != up:
        rate = tried[-1].rate * _STEP if up else tried[-1].rate / _STEP
        rate = min(max(rate, _LEAST), _MOST)
        if rate == tried[-1].rate:
            return rate, tried
        tried.append(probe(rate))
    good, bad = (tried[-2], tried[-1]) if up else (tried[-1], tried[-2])
    for _ in range(_HALVINGS):
        middle = probe((good.rate * bad.rate) ** 0.5)
        tried.append(middle)
        good, bad = (good, middle) if middle.misses else (middle, bad)
    return good.rate, tried
