"""Draws the generators of a running orchestrator for a terminal."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

__all__ = ["GeneratorRow", "generator_words", "render_generators"]

_STATE_STYLES = {"running": "green", "paused": "yellow"}


@dataclass(frozen=True, slots=True)
class GeneratorRow:
    """One generator as it is shown; tokens are those since it was admitted."""

    name: str
    lane: str
    state: str
    problem: str
    given_up: tuple[str, ...]
    precision: str
    running: int
    waiting: int
    tokens: int
    tokens_per_s: float
    expected_tokens_per_s: float
    step_ms: float
    context: int
    batch_limit: int
    length_limit: int
    cache_used_mib: float
    cache_mib: float


# name, narrowest terminal that shows it
_COLUMNS = (
    ("language model", 0),
    ("lane", 130),
    ("precision", 120),
    ("tokens / s", 0),
    ("running", 0),
    ("waiting", 0),
    ("step / ms", 90),
    ("context", 110),
    ("at once", 110),
    ("length", 110),
    ("cache / MiB", 100),
    ("tokens", 90),
)


def render_generators(rows: tuple[GeneratorRow, ...], width: int = 160) -> list[RenderableType]:
    """Return a table of what was admitted, and below it what some do without.

    Args:
        rows: all generators of the orchestrator; nothing is drawn for none.
        width: columns of the terminal; a narrow one gets fewer columns, none of them cut.
    """
    if not rows:
        return []
    table = Table(expand=True)
    shown = [index for index, (_, least) in enumerate(_COLUMNS) if width >= least]
    for index in shown:
        justify = "left" if index < 3 else "right"
        table.add_column(_COLUMNS[index][0], justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        cells = (
            Text(row.name, style=_STATE_STYLES.get(row.state, "red")),
            Text(row.lane),
            Text(row.precision),
            _speed(row),
            str(row.running),
            Text(str(row.waiting), style="yellow" if row.waiting else ""),
            f"{row.step_ms:.1f}" if row.step_ms else "-",
            str(row.context) if row.context else "-",
            str(row.batch_limit) if row.batch_limit else "-",
            str(row.length_limit) if row.length_limit else "-",
            f"{row.cache_used_mib:.1f} of {row.cache_mib:.1f}",
            str(row.tokens),
        )
        table.add_row(*(cells[index] for index in shown))
    without = [(row.name, _without(row)) for row in rows]
    return [
        table,
        *(Text.assemble((name, "bold yellow"), " ", words) for name, words in without if words),
    ]


def generator_words(row: GeneratorRow) -> str:
    """Return one generator in a few words, for a line of a log."""
    state = "" if row.state == "running" else f" {row.state}"
    return (
        f"{row.name}{state} {row.tokens_per_s:.1f} tokens/s "
        f"running {row.running} waiting {row.waiting}"
    )


def _speed(row: GeneratorRow) -> str:
    expected = f" of {row.expected_tokens_per_s:.1f}" if row.expected_tokens_per_s else ""
    return f"{row.tokens_per_s:.1f}{expected}"


def _without(row: GeneratorRow) -> str:
    if row.problem:
        return f"is {row.state}: {row.problem}"
    if row.given_up:
        return f"gave up for the tasks beside it: {', '.join(row.given_up)}"
    return ""
