"""`aegis check`: is a set of tasks schedulable, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from aegis_ros.analysis import Assignment, LaneVerdict, assign, counterfactuals
from aegis_ros.cli.task_set import TaskSet, read_task_set
from aegis_ros.errors import ConfigError
from aegis_ros.rationale import Counterfactual, Witness

__all__ = ["answer", "run"]


def run(path: Path, form: str, state_dir: Path | None) -> int:
    """Print the answer; return 0 when schedulable, 1 when not.

    Raises:
        ConfigError: the file or the format is not valid.
    """
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    tasks = read_task_set(path, state_dir)
    found = assign(tasks.tasks, tasks.lanes, switch_ns=tasks.switch_ns)
    changes = () if found.schedulable else _changes(tasks)
    if form == "json":
        print(json.dumps(answer(found, changes), indent=2))
    else:
        _print(Console(), found, changes)
    return 0 if found.schedulable else 1


def answer(found: Assignment, changes: tuple[Counterfactual, ...]) -> dict[str, Any]:
    """Return the answer in the documented JSON form; times in milliseconds."""
    failed = next((v for v in found.verdicts.values() if not v.schedulable), None)
    deciding = failed or next(iter(found.verdicts.values()))
    return {
        "schedulable": found.schedulable,
        "policy": "edf",
        "lanes": [_lane(verdict) for verdict in found.verdicts.values()],
        "counterfactuals": [
            {
                "task": item.task,
                "change": item.change,
                "value": item.value,
                "sentence": item.sentence,
            }
            for item in changes
        ],
        "rule": str(deciding.rule),
    }


def _changes(tasks: TaskSet) -> tuple[Counterfactual, ...]:
    """Ask of each task, the densest first, what would admit it beside the others."""
    for task in sorted(tasks.tasks, key=lambda item: item.density, reverse=True):
        found = counterfactuals(tasks.tasks, task.name, tasks.lanes, switch_ns=tasks.switch_ns)
        if found:
            return found
    return ()


def _lane(verdict: LaneVerdict) -> dict[str, Any]:
    return {
        "name": verdict.lane,
        "utilization": verdict.utilization,
        "schedulable": verdict.schedulable,
        "witness": _witness(verdict.witness),
        "tasks": [
            {
                "name": item.task,
                "response_bound_ms": item.bound_ns / 1e6,
                "deadline_ms": item.deadline_ns / 1e6,
                "slack_ms": (item.deadline_ns - item.bound_ns) / 1e6,
            }
            for item in verdict.responses
        ],
    }


def _witness(witness: Witness | None) -> dict[str, Any] | None:
    if witness is None:
        return None
    return {
        "t_ms": witness.t_ns / 1e6,
        "demand_ms": witness.demand_ns / 1e6,
        "blocking_ms": witness.blocking_ns / 1e6,
        "blocking_task": witness.blocking_task,
        "slack_ms": witness.slack_ns / 1e6,
    }


def _print(console: Console, found: Assignment, changes: tuple[Counterfactual, ...]) -> None:
    for verdict in found.verdicts.values():
        style = "green" if verdict.schedulable else "red"
        word = "schedulable" if verdict.schedulable else "NOT schedulable"
        table = Table(
            title=f"lane {verdict.lane}: [{style}]{word}[/{style}], U = {verdict.utilization:.1%}",
            title_justify="left",
        )
        for name in ("task", "response bound / ms", "deadline / ms", "slack / ms"):
            table.add_column(name, justify="left" if name == "task" else "right")
        for item in verdict.responses:
            table.add_row(
                item.task,
                f"{item.bound_ns / 1e6:.2f}",
                f"{item.deadline_ns / 1e6:.2f}",
                f"{(item.deadline_ns - item.bound_ns) / 1e6:.2f}",
            )
        console.print(table if verdict.responses else table.title)
        console.print(verdict.sentence[:1].upper() + verdict.sentence[1:] + ".", highlight=False)
    for change in changes:
        console.print(f"• {change.sentence}.", highlight=False)
