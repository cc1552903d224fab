"""The ways to divide a device that were looked at, as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from aegis_ros.rationale.lanes import LaneAlternative, LanesChosen
from aegis_ros.rationale.wording.lanes import falls_short
from aegis_ros.views.terminal import say, sheet

__all__ = ["lanes_as_json", "print_lanes"]


def print_lanes(console: Console, decision: LanesChosen) -> None:
    """Print every way to divide the device, the chosen one marked."""
    table = sheet(
        "lanes: auto[dim], the largest least slack is taken[/dim]",
        [("lanes", "left"), ("least slack", "right"), ("task", "left"), ("", "left")],
    )
    shown = sorted((decision.chosen, *decision.others), key=lambda each: each.lanes)
    for each in shown:
        chosen = each is decision.chosen
        table.add_row(*_cells(each, chosen), style="bold" if chosen else "")
    console.print(table)
    if any(each.assumed for each in shown):
        say(
            console,
            f"Assumed slowdowns: a task takes {decision.slowdown:g} times as long beside one that "
            "it was never measured with (--slowdown)",
        )
    if decision.chosen.gap:
        say(
            console,
            f"Another placement could leave up to {decision.chosen.gap:.1%} of a deadline more: "
            "so many tasks are not searched completely",
        )


def _cells(item: LaneAlternative, chosen: bool) -> list[str | Text]:
    short = falls_short(item)
    slack = "-" if short else f"{item.slack:.1%}"
    style = "red" if short else "green" if chosen else ""
    notes = [short] if short else []
    if chosen:
        notes.insert(0, "chosen")
    if item.assumed and not short:
        notes.append(f"{item.assumed} slowdowns assumed")
    return [
        Text(item.label),
        Text(slack, style=style),
        Text("" if short else item.task),
        Text(", ".join(notes), style=style),
    ]


def lanes_as_json(decision: LanesChosen) -> dict[str, Any]:
    """Return the decision in the documented JSON form; times in milliseconds."""
    return {
        "chosen": decision.chosen.label,
        "assumed_slowdown": decision.slowdown,
        "places": {each.lane: list(each.tasks) for each in decision.places},
        "alternatives": [
            {
                "label": each.label,
                "lanes": each.lanes,
                "schedulable": not falls_short(each),
                "least_slack": None if falls_short(each) else each.slack,
                "task": each.task,
                "late_ms": each.late_ns / 1e6 if each.late_ns else None,
                "utilization": each.utilization or None,
                "gap": each.gap,
                "slowdowns_assumed": each.assumed,
                "falls_short": falls_short(each),
            }
            for each in sorted((decision.chosen, *decision.others), key=lambda item: item.lanes)
        ],
    }
