"""Draws the state of a running orchestrator for a terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aegis_ros.rationale.printable import printable
from aegis_ros.rationale.wording import every_nth
from aegis_ros.spec import Criticality
from aegis_ros.views.generators import GeneratorRow, generator_words, render_generators

__all__ = [
    "DecisionRow",
    "LaneRow",
    "Snapshot",
    "TaskRow",
    "render_snapshot",
    "safe",
    "summary_line",
]

_STATE_STYLES = {"running": "green", "waiting": "yellow", "disabled": "dim"}
_DECISION_STYLES = {
    "admitted": "green",
    "restored": "green",
    "enabled": "green",
    "rejected": "red",
    "lost": "red",
    "shed": "yellow",
    "skipped": "yellow",
}


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as it is shown; times in milliseconds, counts since activation."""

    name: str
    lane: str
    criticality: str
    state: str
    period_ms: float
    deadline_ms: float
    rate_hz: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bound_ms: float
    wcet_ms: float
    utilization: float
    completed: int
    missed: int
    skipped: int
    lost: int
    decimation: int = 1
    decimated: int = 0


@dataclass(frozen=True, slots=True)
class LaneRow:
    """One lane as it is shown; utilizations 0..1."""

    name: str
    admitted: float
    measured: float
    slack_ms: float


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One decision as it is shown."""

    clock: str
    task: str
    decision: str
    rule: str
    sentence: str
    count: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one picture of the orchestrator needs."""

    state: str
    backend: str
    device: str
    engine: str
    arena_used_mib: float
    arena_mib: float
    tasks: tuple[TaskRow, ...]
    lanes: tuple[LaneRow, ...]
    decisions: tuple[DecisionRow, ...]
    progress: str = ""  # of the request that has its turn, as `progress_line` returns it
    rejected: tuple[tuple[str, str], ...] = ()  # name and why, of tasks that should run
    generators: tuple[GeneratorRow, ...] = ()  # that were admitted


def safe(snapshot: Snapshot) -> Snapshot:
    """Return a picture whose texts, which any node may have sent, hold no codes of a terminal."""
    shown: Snapshot = _safe(snapshot)
    return shown


def _safe(item: Any) -> Any:
    if isinstance(item, str):
        return printable(item)
    if isinstance(item, tuple):
        return tuple(_safe(each) for each in item)
    if isinstance(item, Snapshot | TaskRow | LaneRow | DecisionRow | GeneratorRow):
        return replace(item, **{name: _safe(getattr(item, name)) for name in item.__slots__})
    return item


def render_snapshot(snapshot: Snapshot, width: int = 160) -> RenderableType:
    """Return a table of tasks, one of generators, a line a lane and the latest decisions.

    Args:
        snapshot: what to draw.
        width: columns of the terminal; a narrow one gets fewer columns, none of them cut.
    """
    return Group(
        _task_table(snapshot, width),
        *render_generators(snapshot.generators, width),
        *_rejected_lines(snapshot),
        _lane_lines(snapshot),
        _decision_panel(snapshot),
    )


def summary_line(snapshot: Snapshot) -> str:
    """Return one plain line, for logs and pipes."""
    tasks = "  ".join(
        f"{task.name} {task.rate_hz:.1f} Hz p99 {task.p99_ms:.1f}/{task.deadline_ms:.0f} ms "
        f"missed {task.missed} skipped {task.skipped}"
        + (f" takes {every_nth(task.decimation)}" if task.decimation > 1 else "")
        for task in snapshot.tasks
    )
    generators = "".join(f" | {generator_words(each)}" for each in snapshot.generators)
    lanes = " ".join(f"{lane.name} {lane.measured:.0%}" for lane in snapshot.lanes)
    progress = f" | {snapshot.progress}" if snapshot.progress else ""
    rejected = ", ".join(name for name, _ in snapshot.rejected)
    tail = f" | not admitted: {rejected}" if rejected else ""
    return f"{snapshot.state}{progress} | {lanes} | {tasks}{generators}{tail}"


# name, narrowest terminal that shows it
_COLUMNS = (
    ("task", 0),
    ("lane", 130),
    ("crit.", 120),
    ("rate / Hz", 0),
    ("p50", 110),
    ("p99", 0),
    ("worst", 100),
    ("bound", 100),
    ("deadline / ms", 0),
    ("U", 90),
    ("done", 110),
    ("missed", 0),
    ("skipped", 0),
    ("lost", 90),
)


def _state(snapshot: Snapshot) -> str:
    return " · ".join(filter(None, (snapshot.state, snapshot.progress)))


def _task_table(snapshot: Snapshot, width: int) -> Table:
    table = Table(
        title=f"{_state(snapshot)} · {snapshot.backend} on {snapshot.device} · {snapshot.engine}",
        title_justify="left",
        expand=True,
    )
    shown = [index for index, (_, least) in enumerate(_COLUMNS) if width >= least]
    for index in shown:
        justify = "left" if index < 3 else "right"
        table.add_column(_COLUMNS[index][0], justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for task in snapshot.tasks:
        cells = (
            Text(task.name, style=_STATE_STYLES.get(task.state, "red")),
            task.lane,
            task.criticality.replace("best_effort", "best eff."),
            _rate(task),
            f"{task.p50_ms:.1f}" if task.completed else "-",
            _against_deadline(task.p99_ms, task),
            _against_deadline(task.max_ms, task),
            f"{task.bound_ms:.1f}" if task.bound_ms else "-",
            "none" if task.criticality == Criticality.BEST_EFFORT else f"{task.deadline_ms:.0f}",
            f"{task.utilization:.0%}",
            str(task.completed),
            Text(str(task.missed), style="bold red" if task.missed else "green"),
            Text(str(task.skipped), style="yellow" if task.skipped else ""),
            Text(str(task.lost), style="yellow" if task.lost else ""),
        )
        table.add_row(*(cells[index] for index in shown))
    return table


def _rate(task: TaskRow) -> Text:
    """Return results a second of the frames declared, by n where every n-th is taken."""
    if not task.period_ms:
        return Text("")
    rate = f"{task.rate_hz:.1f} of {1000 / task.period_ms:.1f}"
    return Text(f"{rate}/{task.decimation}", style="yellow") if task.decimation > 1 else Text(rate)


def _against_deadline(value_ms: float, task: TaskRow) -> Text:
    if not task.completed:
        return Text("-")
    if task.criticality == Criticality.BEST_EFFORT:
        return Text(f"{value_ms:.1f}")
    share = value_ms / task.deadline_ms if task.deadline_ms else 0.0
    style = "red" if share > 1.0 else "yellow" if share > 0.8 else "green"
    return Text(f"{value_ms:.1f}", style=style)


def _rejected_lines(snapshot: Snapshot) -> list[RenderableType]:
    if not snapshot.rejected:
        return []
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    for name, why in snapshot.rejected:
        grid.add_row(Text(f"{name} was not admitted", style="bold red"), Text(why))
    return [grid]


def _lane_lines(snapshot: Snapshot) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for lane in snapshot.lanes:
        table.add_row(
            f"lane {lane.name}",
            _bar(lane.measured, lane.admitted),
            f"busy {lane.measured:.0%}, admitted {lane.admitted:.0%}, "
            f"least slack {lane.slack_ms:.1f} ms",
        )
    used = snapshot.arena_used_mib / snapshot.arena_mib if snapshot.arena_mib else 0.0
    table.add_row(
        "arena", _bar(used, used), f"{snapshot.arena_used_mib:.0f} of {snapshot.arena_mib:.0f} MiB"
    )
    return table


def _bar(filled: float, marked: float, width: int = 30) -> Text:
    done = round(min(max(filled, 0.0), 1.0) * width)
    mark = round(min(max(marked, 0.0), 1.0) * width)
    text = Text("█" * done, style="green" if filled <= 0.9 else "yellow")
    text.append("▒" * max(0, mark - done), style="cyan")
    text.append("·" * (width - max(done, mark)), style="dim")
    return text


def _decision_panel(snapshot: Snapshot) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(no_wrap=True)
    grid.add_column(ratio=1)
    for row in snapshot.decisions:
        times = f" (x{row.count})" if row.count > 1 else ""
        grid.add_row(
            row.clock,
            Text(row.decision, style=_DECISION_STYLES.get(row.decision, "")),
            Text.assemble((row.task, "bold"), " " * bool(row.task), row.sentence, times),
        )
    if not snapshot.decisions:
        grid.add_row("", "", "no decision yet")
    return Panel(grid, title="latest decisions", title_align="left")
