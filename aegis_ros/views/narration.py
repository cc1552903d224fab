"""Draws what a language model says of a robot's results."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aegis_ros.rationale.printable import printable

__all__ = ["Narration", "narration_line", "render_narration"]


@dataclass(frozen=True, slots=True)
class Narration:
    """What has been said so far.

    Attributes:
        told: what the model was told last; empty before the first time.
        text: its answer, as far as it has come.
        ended: why it ended; empty while it goes on.
        problem: why it was refused or cut off; empty where it was not.
        answers: how many have ended with a text.
        tokens: of all answers.
        tokens_per_s: of all answers, after the first token of each.
    """

    told: str = ""
    text: str = ""
    ended: str = ""
    problem: str = ""
    answers: int = 0
    tokens: int = 0
    tokens_per_s: float = 0.0


def render_narration(narration: Narration, name: str) -> RenderableType:
    """Return what the model was told, what it says to that, and how fast.

    Args:
        narration: what to draw.
        name: of the generator.
    """
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(ratio=1)
    grid.add_row("told", Text(printable(narration.told) or "nothing yet"))
    grid.add_row("says", Text(_said(narration), style="bold"))
    if narration.problem:
        grid.add_row("but", Text(printable(narration.problem), style="yellow"))
    return Panel(grid, title=f"{name} · {_figures(narration)}", title_align="left")


def narration_line(narration: Narration, name: str) -> str:
    """Return one plain line with the latest answer, for logs and pipes."""
    problem = f" ({printable(narration.problem)})" if narration.problem else ""
    return f"{name} | {_figures(narration)} | {_said(narration) or '-'}{problem}"


def _said(narration: Narration) -> str:
    """Return an answer on one line: it may have several, and stands in a table."""
    return printable(" ".join(narration.text.split()))


def _figures(narration: Narration) -> str:
    return (
        f"answers {narration.answers}, tokens {narration.tokens}, "
        f"{narration.tokens_per_s:.1f} tokens/s"
    )
