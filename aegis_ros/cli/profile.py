"""`aegis profile`: measure the networks of a configuration, so that admission knows budgets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from aegis_ros.config import load_config
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator import Orchestrator, ProfileOutcome
from aegis_ros.spec import OrchestratorSpec, TaskSpec

__all__ = ["run"]

_DEFAULT_STATE = Path.home() / ".ros" / "aegis_ros"


def run(path: Path, names: Sequence[str], runs: int, state_dir: Path | None, form: str) -> int:
    """Measure and store; return 0 when every network was measured, 1 when one was refused.

    Args:
        path: YAML of the orchestrator.
        names: tasks to measure; empty for all.
        runs: runs of each network.
        state_dir: where the orchestrator keeps its profiles.
        form: ``text`` or ``json``.

    Raises:
        ConfigError: file, task or format is not valid.
        EngineError: the engine does not start.
    """
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    spec = load_config(path)
    tasks = _chosen(spec, names)
    orchestrator = Orchestrator(
        replace(spec, tasks=()),
        state_dir=state_dir or _DEFAULT_STATE,
        on_result=lambda _, result: result.release(),
    )
    found: list[tuple[TaskSpec, ProfileOutcome]] = []
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("slowest {task.fields[worst]:.2f} ms"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    try:
        orchestrator.configure(admit=False)
        with progress:
            for task in tasks:
                row = progress.add_task(task.name, total=runs, worst=0.0)
                found.append((task, orchestrator.profile(task, runs, _told(progress, row))))
    finally:
        orchestrator.cleanup()
    if form == "json":
        print(json.dumps([_answer(task, outcome) for task, outcome in found], indent=2))
    else:
        _print(Console(), found)
    return 0 if all(outcome.success for _, outcome in found) else 1


def _chosen(spec: OrchestratorSpec, names: Sequence[str]) -> tuple[TaskSpec, ...]:
    known = {task.name: task for task in spec.tasks}
    if not known:
        raise ConfigError("there is no task to measure", where="tasks", expected="at least one")
    for name in names:
        if name not in known:
            raise ConfigError(
                "there is no such task",
                where="--task",
                value=name,
                expected="one of " + ", ".join(known),
            )
    return tuple(known[name] for name in names) if names else spec.tasks


def _told(progress: Progress, row: Any) -> Callable[[int, int, int], bool]:
    def told(done: int, total: int, worst_ns: int) -> bool:
        progress.update(row, completed=done, total=total, worst=worst_ns / 1e6)
        return True

    return told


def _answer(task: TaskSpec, outcome: ProfileOutcome) -> dict[str, Any]:
    return {
        "task": task.name,
        "measured": outcome.success,
        "runs": outcome.runs,
        "p50_ms": outcome.p50_ns / 1e6,
        "max_ms": outcome.max_ns / 1e6,
        "wcet_ms": outcome.wcet_ns / 1e6,
        "sentence": outcome.rationale.sentence,
    }


def _print(console: Console, found: Sequence[tuple[TaskSpec, ProfileOutcome]]) -> None:
    table = Table(title="WCET profiles (ms)", title_justify="left")
    for name in ("task", "runs", "p50", "max", "budget", "of period"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for task, outcome in found:
        if outcome.success:
            table.add_row(
                task.name,
                str(outcome.runs),
                f"{outcome.p50_ns / 1e6:.2f}",
                f"{outcome.max_ns / 1e6:.2f}",
                f"{outcome.wcet_ns / 1e6:.2f}",
                f"{outcome.wcet_ns / task.period_ns:.1%}",
            )
    if table.row_count:
        console.print(table)
    for _, outcome in found:
        style = "" if outcome.success else "red"
        console.print(outcome.rationale.sentence, style=style, highlight=False, soft_wrap=True)
