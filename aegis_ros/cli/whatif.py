"""`aegis whatif`: the answer before and after a change that nobody has made yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from aegis_ros.analysis import AnalysisTask
from aegis_ros.cli.answer_json import as_json
from aegis_ros.cli.check import print_reason
from aegis_ros.cli.generators import print_generators
from aegis_ros.cli.memory_table import print_memory
from aegis_ros.errors import ConfigError
from aegis_ros.planning.answer import Answer, judge
from aegis_ros.planning.changes import changed
from aegis_ros.planning.task_set import read_task_set
from aegis_ros.views.terminal import say, sheet, sign, terminal, to_ms

__all__ = ["run"]

_MANY_TASKS = 60


def run(
    path: Path,
    *,
    add: Sequence[str],
    drop: Sequence[str],
    change: Sequence[str],
    form: str,
    state_dir: Path | None,
) -> int:
    """Print both answers; return 0 where everything is admitted afterwards, 1 where not.

    Args:
        path: a bare set or an orchestrator's YAML.
        add: tasks as typed, ``name=x,period_ms=50,segments_ms=3;4``.
        drop: names.
        change: as typed, ``task.period_ms=50``.
        form: ``text`` or ``json``.
        state_dir: of the orchestrator.

    Raises:
        ConfigError: the file or a change is not valid.
    """
    if form not in ("text", "json"):
        raise ConfigError("unknown format", where="--format", value=form, expected="text or json")
    if not (add or drop or change):
        raise ConfigError(
            "nothing is changed",
            where="whatif",
            expected="--add, --drop or --set",
            hint="`aegis check` gives the answer without a change",
        )
    asked = read_task_set(path, state_dir)
    wanted = changed(asked, add=add, drop=drop, change=change)
    before, after = judge(asked, advise=False), judge(wanted)
    if form == "json":
        print(
            json.dumps(
                {
                    "before": as_json(before),
                    "after": as_json(after),
                    "changes": [
                        *(f"drop {name}" for name in drop),
                        *(f"set {text}" for text in change),
                        *(f"add {text}" for text in add),
                    ],
                },
                indent=2,
            )
        )
    else:
        _print(terminal(), before, after)
    return 0 if after.admitted else 1


def _print(console: Console, before: Answer, after: Answer) -> None:
    many = len(after.asked.lanes) > 1
    lane_column = [("lane", "left")] if many else []
    table = sheet(
        f"before: {sign(before.schedulable)}, after: {sign(after.schedulable)}"
        "[dim], times in ms[/dim]",
        [
            ("task", "left"),
            *lane_column,
            ("bound", "right"),
            ("deadline", "right"),
            ("", "left"),
            *lane_column,
            ("bound", "right"),
            ("deadline", "right"),
            ("slack", "right"),
        ],
    )
    known = {task.name: task for task in before.asked.tasks}
    then = {task.name: task for task in after.asked.tasks}
    names = [*known, *(name for name in then if name not in known)]
    changed_ones = [name for name in names if known.get(name) != then.get(name)]
    shown = names if len(names) <= _MANY_TASKS else changed_ones[:_MANY_TASKS]
    for name in shown:
        old, new = known.get(name), then.get(name)
        style = "" if old == new else "bold"
        table.add_row(
            Text(name, style=style),
            *_side(before, old, many),
            "+" if old is None else "-" if new is None else "→" if old == new else "*",
            *_side(after, new, many),
            _slack(before, old, after, new),
        )
    console.print(table)
    if len(shown) < len(names):
        say(console, f"Shown are the {len(shown)} of {len(names)} tasks that change")
    for lane in after.asked.lanes:
        one, two = before.utilization(lane), after.utilization(lane)
        say(
            console,
            f"lane {lane}: U {one:.1%} → {two:.1%}",
            bullet=" •",
        )
    say(console, "* changed, + added, - dropped")
    console.print()
    print_reason(console, after)
    print_generators(console, after)
    print_memory(console, after.memory)


def _side(answer: Answer, task: AnalysisTask | None, with_lane: bool) -> list[str]:
    if task is None:
        return [""] * (3 if with_lane else 2)
    bound = answer.bound_of(task.name)
    cells = ["-" if bound is None else to_ms(bound.bound_ns), to_ms(task.deadline_ns)]
    return [answer.assignment.lane_of[task.name], *cells] if with_lane else cells


def _slack(
    before: Answer, old: AnalysisTask | None, after: Answer, new: AnalysisTask | None
) -> str | Text:
    """Return the slack afterwards, with an arrow where it moved."""
    bound = None if new is None else after.bound_of(new.name)
    if bound is None or new is None:
        return "-"
    slack = new.deadline_ns - bound.bound_ns
    earlier = None if old is None else before.bound_of(old.name)
    if earlier is None or old is None:
        return to_ms(slack)
    moved = slack - (old.deadline_ns - earlier.bound_ns)
    if not moved:
        return to_ms(slack)
    return Text(
        f"{'▲' if moved > 0 else '▼'} {to_ms(slack)}", style="green" if moved > 0 else "yellow"
    )
