"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Grade", "costs", "good", "unknown"]


class Grade(StrEnum):
    """Whether something costs determinism; ``UNKNOWN`` where this machine does not report it."""

    GOOD = "good"
    COSTS = "costs"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check.

    Attributes:
        name: what was looked at.
        found: what it is here.
        grade: whether it costs determinism.
        cost: by what; empty unless it does.
        hint: the command that fixes it; empty unless it does. It is never run.
    """

    name: str
    found: str
    grade: Grade
    cost: str = ""
    hint: str = ""


def good(name: str, found: str) -> Finding:
    """Return a finding that costs nothing."""
    return Finding(name, found, Grade.GOOD)


def unknown(name: str, found: str = "this kernel does not report it") -> Finding:
    """Return a finding of nothing."""
    return Finding(name, found, Grade.UNKNOWN)


def costs(name: str, found: str, cost: str, hint: str) -> Finding:
    """Return a finding that costs determinism, by what, and how to fix it."""
    return Finding(name, found, Grade.COSTS, cost, hint)
