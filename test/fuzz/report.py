"""Says what a run found: a table for people, on a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from test.fuzz.session import Tally
from test.fuzz.target import MIB, Target

__all__ = ["HEAD", "Outcome", "cells", "markdown"]

HEAD = ("target", "inputs", "refused", "slowest", "limit", "most memory", "limit", "failures")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a target.

    Attributes:
        target: what was attacked.
        tally: what was found.
    """

    target: Target
    tally: Tally


def cells(outcome: Outcome) -> tuple[str, ...]:
    """Return a row of the table, in the order of :data:`HEAD`."""
    target, tally = outcome.target, outcome.tally
    return (
        target.title,
        f"{tally.inputs:,}",
        f"{tally.inputs - tally.taken:,}",
        f"{tally.slowest_s * 1e3:,.1f} ms",
        f"{target.limits.seconds * 1e3:,.0f} ms",
        f"{tally.largest_bytes / MIB:.1f} MiB",
        f"{target.limits.memory_bytes / MIB:.1f} MiB",
        str(sum(tally.failures.values())),
    )


def markdown(outcomes: Sequence[Outcome], machine: str, command: str) -> str:
    """Return the table with what is needed to repeat it."""
    lines = [f"`{command}`", "", machine, ""]
    lines += ["| " + " | ".join(HEAD) + " |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    lines += ["| " + " | ".join(cells(each)) + " |" for each in outcomes]
    inputs = sum(each.tally.inputs for each in outcomes)
    failures = sum(sum(each.tally.failures.values()) for each in outcomes)
    repeated = sum(each.tally.repeated for each in outcomes)
    lines += ["", f"{inputs:,} inputs, {failures:,} failures."]
    if repeated:
        lines += [f"{repeated:,} inputs were above their time once, and not when repeated."]
    return "\n".join(lines) + "\n"
