"""Tells what networks do to each other, as tables for a terminal and as a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aegis_ros.wcet import Pair, Place, Profile, alone, pairs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_pairs", "has_pairs", "print_pairs"]

_TITLES = {
    Place.AFTER: "Right after another network: median and slowest run, relative to alone",
    Place.BESIDE: "Beside another one (network, its lane): median and slowest, relative to alone",
}
_CELL, _GAP = 9, 3  # characters of a cell, and between two columns
_WARM, _HOT = 1.5, 2.0  # slowest run, in medians alone, from which a cell is coloured
_NAMES = 30  # characters a label in the picture may have
_HOTTEST = 3.0  # of the colours


def has_pairs(found: Sequence[tuple[str, Profile]]) -> bool:
    """Return whether any network was measured with another one."""
    return any(pairs(profile) for _, profile in found)


def print_pairs(console: Console, found: Sequence[tuple[str, Profile]]) -> None:
    """Print a table for each place a neighbour can have; wide ones in several parts.

    Args:
        console: to print to.
        found: name and profile of each task.
    """
    for place, title in _TITLES.items():
        for labels in _parts(console.width, found, _columns(found, place)):
            _print_part(console, found, place, labels, title=title)
            title = ""


def _parts(
    width: int, found: Sequence[tuple[str, Profile]], labels: Sequence[str]
) -> Iterator[list[str]]:
    """Yield as many columns at a time as a terminal has room for."""
    begin = 2 + max((len(name) for name, _ in found), default=0) + _GAP + _CELL
    part: list[str] = []
    used = begin
    for label in labels:
        column = _GAP + max(_CELL, len(label))
        if part and used + column > width:
            yield part
            part, used = [], begin
        part.append(label)
        used += column
    if part:
        yield part


def _print_part(
    console: Console,
    found: Sequence[tuple[str, Profile]],
    place: Place,
    labels: Sequence[str],
    *,
    title: str,
) -> None:
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("task", no_wrap=True)
    table.add_column("alone", justify="right", no_wrap=True)
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    for name, profile in found:
        cells = _cells(profile, place)
        if cells:
            table.add_row(
                name, _cell(alone(profile)), *(_cell(cells.get(label)) for label in labels)
            )
    console.print(table)


def _cell(pair: Pair | None) -> Text:
    if pair is None:
        return Text("–", style="dim")
    style = "red" if pair.worst >= _HOT else "yellow" if pair.worst >= _WARM else ""
    return Text(f"{pair.median:.2f} ", style="").append(f"{pair.worst:.2f}", style=style)


def _cells(profile: Profile, place: Place) -> dict[str, Pair]:
    return {
        _label(pair): pair
        for pair in pairs(profile)
        if pair.neighbour is not None and pair.neighbour.place is place
    }


def _label(pair: Pair) -> str:
    other = pair.neighbour
    if other is None:
        return "alone"
    return f"{other.name} ({other.lane})" if other.lane else other.name


def _columns(found: Sequence[tuple[str, Profile]], place: Place) -> list[str]:
    """Return every neighbour once: those that were measured themselves first, in their order."""
    seen = [label for _, profile in found for label in _cells(profile, place)]
    order = [name for name, _ in found]
    known = dict.fromkeys(seen)
    return sorted(
        known,
        key=lambda label: (
            order.index(label.split("@")[0]) if label.split("@")[0] in order else len(order)
        ),
    )


def draw_pairs(axes: Axes, found: Sequence[tuple[str, Profile]]) -> None:
    """Draw a heat map: a row a network, a column a neighbour, coloured by the slowest run.

    Args:
        axes: to draw on.
        found: name and profile of each task, at least one of them with a neighbour.
    """
    rows = [(name, profile) for name, profile in found if pairs(profile)]
    columns = [(place, label) for place in Place for label in _columns(rows, place)]
    worst = np.full((len(rows), 1 + len(columns)), np.nan)
    for row, (_, profile) in enumerate(rows):
        cells = [alone(profile), *(_cells(profile, place).get(label) for place, label in columns)]
        for column, pair in enumerate(cells):
            if pair is None:
                continue
            worst[row, column] = pair.worst
            light = pair.worst > 1.0 + 0.6 * (_HOTTEST - 1.0)
            axes.text(
                column,
                row,
                f"{pair.median:.2f}\n{pair.worst:.2f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if light else "black",
            )
    axes.imshow(worst, cmap="OrRd", vmin=1.0, vmax=_HOTTEST, aspect="auto")
    labels = ["alone", *(f"{place} {label}" for place, label in columns)]
    axes.set_xticks(
        range(len(labels)), [text[:_NAMES] for text in labels], rotation=20, ha="right", fontsize=9
    )
    axes.set_yticks(range(len(rows)), [name[:_NAMES] for name, _ in rows], fontsize=9)
    axes.set_title(
        "what networks do to each other: median and slowest run (the colour), relative to alone",
        loc="left",
        fontsize=10,
    )
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0)
