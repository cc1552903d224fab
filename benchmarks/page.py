"""Writes the figures of a run of all benchmarks as one Markdown page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.parts import Part
from benchmarks.report import Figure, figures_in

__all__ = ["Outcome", "as_values", "page"]


@dataclass(frozen=True)
class Outcome:
    """What became of one part.

    Attributes:
        part: that was run.
        command: as it can be run again.
        seconds: it took.
        others: processors that others used meanwhile (1.0: one core fully).
        reason: why it failed; empty where it did not.
        published: what it wrote to its file; empty where it failed before.
    """

    part: Part
    command: str
    seconds: float
    others: float
    reason: str
    published: Mapping[str, Any]

    @property
    def figures(self) -> list[Figure]:
        """The figures."""
        return figures_in(self.published)


def page(machine: str, date: str, version: str, outcomes: Sequence[Outcome]) -> str:
    """Return the page.

    Args:
        machine: its processor and cores.
        date: of the run.
        version: what was measured.
        outcomes: of all parts, in order.
    """
    seconds = sum(each.seconds for each in outcomes)
    failed = [each.part.name for each in outcomes if each.reason]
    lines = [
        "# Figures of this machine",
        "",
        f"- machine: {machine}",
        f"- date: {date}",
        f"- version: {version}",
        f"- duration: {_span(seconds)}",
        f"- failed: {', '.join(failed) or 'nothing'}",
        "",
        "Runs with `--quick` are short: their medians can be compared, their maxima hardly. "
        "docs/benchmarks.md says which figures come from long runs.",
    ]
    for each in outcomes:
        lines += ["", f"## {each.part.title}", "", f"`{each.command}`", ""]
        lines.append(
            f"{_span(each.seconds)}; other programs used {each.others:.2f} cores meanwhile."
        )
        if each.reason:
            lines += ["", "**Failed:**", "", "```", each.reason, "```"]
        if each.figures:
            lines += ["", *_table(each.figures)]
    return "\n".join(lines) + "\n"


def as_values(machine: str, date: str, version: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what the page says, and everything that the parts published, as plain data."""
    return {
        "machine": machine,
        "date": date,
        "version": version,
        "parts": [
            {
                "name": each.part.name,
                "command": each.command,
                "seconds": round(each.seconds, 1),
                "cores_used_by_others": round(each.others, 2),
                "failed": each.reason,
                "published": dict(each.published),
            }
            for each in outcomes
        ],
    }


def _table(figures: Sequence[Figure]) -> list[str]:
    lines = [
        "| what | median or value | p99 | max | unit | samples |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
    ]
    for each in figures:
        numbers = [_number(value) for value in (each.p50, each.p99, each.max)]
        name = each.name.replace("|", "\\|")
        lines.append(f"| {name} | {' | '.join(numbers)} | {each.unit} | {each.count:,} |")
    return lines


def _number(value: float | None) -> str:
    """Return three significant digits, and no exponent."""
    if value is None:
        return ""
    if value == 0.0 or abs(value) >= 100.0:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.4f}"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
