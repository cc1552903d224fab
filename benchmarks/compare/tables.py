"""Prints the figures: rich tables on a terminal, plain ones in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

__all__ = ["show"]

_PLAIN_WIDTH = 176


def show(
    summary: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
    goals: Iterable[tuple[str, str, bool]],
) -> None:
    """Print the tables of each load and what became of the goals."""
    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=_PLAIN_WIDTH, no_color=True)
    for load, one in summary.items():
        console.print(f"\n[bold]Load {float(load):.0%}[/bold]: {one['plan']['sentence']}")
        console.print(_tasks(one, labels, terminal))
        console.print(_machine(one, labels, terminal))
        reasons = one.get("reported_by_rule")
        if reasons:
            text = "; ".join(
                f"{task}: " + ", ".join(f"{rule} {count}" for rule, count in rules.items())
                for task, rules in reasons.items()
            )
            console.print(f"aegis reported, by rule, since each start: {text}")
        for sentence in one.get("decimated", {}).values():
            console.print(f"aegis reported: {sentence}")
        tracing = one.get("tracing")
        if tracing:
            console.print(
                f"tracing, median of {tracing['pairs']} pairs: execution "
                f"{tracing['execution']:+.2%} of the lane, dispatch and switching "
                f"{tracing['dispatch_and_switching']:+.2%} of the lane, dispatch lateness p50 "
                f"{tracing['dispatch_p50_us']:+.0f} us, p99 {tracing['dispatch_p99_us']:+.0f} us"
            )
    table = _table("Goals", terminal, "goal", "reached", "")
    for what, reached, met in goals:
        table.add_row(what, reached, "[green]yes[/green]" if met else "[red]no[/red]")
    if table.row_count:
        console.print(table)


def _table(title: str, terminal: bool, *columns: str) -> Table:
    style = box.SIMPLE_HEAD if terminal else box.ASCII2
    made = Table(title=title, title_justify="left", box=style, padding=(0, 1))
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place else "left", no_wrap=not place)
    return made


def _number(row: Mapping[str, Any], key: str, form: str) -> str:
    return format(row[key], form) if key in row else "-"


def _red(text: str, bad: bool) -> str:
    return f"[red]{text}[/red]" if bad else text


def _tasks(one: Mapping[str, Any], labels: Mapping[str, str], terminal: bool) -> Table:
    table = _table(
        "response over deadline; ms: ready: worst from stamp to release; worst and bound: from "
        "stamp to end of execution; output: worst from there to published",
        terminal,
        *("task", "frames", "late", "none", "reported", "p50", "p99", "p99.9", "max", "CV"),
        *("CV exec", "ready", "worst", "bound", "output", "period", "deadline"),
    )
    for arm, rows in one["rows"].items():
        table.add_row(f"[bold]{labels[arm]}[/bold]")
        for name, row in rows.items():
            table.add_row(
                f"  {name} ({row['criticality']})",
                f"{row['frames']}",
                _red(f"{row['late']}", row["late"] > 0),
                _red(f"{row['without']}", row["without"] > row["reported"]),
                f"{row['reported']}" if "bound_ms" in row or row["reported"] else "-",
                *(
                    _number(row, f"{each}_over_deadline", ".2f")
                    for each in ("p50", "p99", "p99.9", "max")
                ),
                _number(row, "cv", ".1%"),
                _number(row, "execution_cv", ".1%"),
                _red(_number(row, "ready_max_ms", ".1f"), row.get("beyond_jitter", 0) > 0),
                _red(_number(row, "worst_ms", ".1f"), row.get("beyond_bound", 0) > 0),
                _number(row, "bound_ms", ".1f"),
                _number(row, "output_max_ms", ".1f"),
                f"{row['period_ms']:.1f}",
                f"{row['deadline_ms']:.1f}",
            )
        table.add_section()
    return table


def _machine(one: Mapping[str, Any], labels: Mapping[str, str], terminal: bool) -> Table:
    table = _table(
        "the machine; cores used (1.00: one fully), lane time, dispatch on a free lane in us",
        terminal,
        *("way", "rounds", "seconds", "results/s", "cores", "cameras", "others", "most", "stolen"),
        *("admitted", "busy", "lost", "p50", "p99", "max"),
    )
    for arm, row in one["machine"].items():
        table.add_row(
            labels[arm],
            f"{row['rounds']}",
            f"{row['seconds']:.0f}",
            f"{row['results_per_s']:.1f}",
            *(
                f"{row[f'cores_{who}']:.2f}"
                for who in ("way", "cameras", "others", "others_most", "stolen")
            ),
            _number(row, "lane_admitted", ".1%"),
            _number(row, "lane_busy", ".1%"),
            _number(row, "lane_lost", ".2%"),
            *_dispatch(row, ("p50", "p99", "max")),
        )
    return table


def _dispatch(row: Mapping[str, Any], which: Iterable[str]) -> list[str]:
    return [_number(row, f"dispatch_{each}_us", ".0f") for each in which]
