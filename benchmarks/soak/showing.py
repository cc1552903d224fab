"""Shows what a run comes to: tables for people, figures for files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.report import Figure, console, figure, table
from benchmarks.soak.faults import Kind
from benchmarks.soak.judging import Judged
from benchmarks.soak.record import Run

__all__ = ["facts", "figures", "show"]

_BAD = 20
_VERDICTS = {True: "yes", False: "NO", None: "not judged"}


def figures(run: Run, judged: Judged) -> list[Figure]:
    """Return the figures of a run."""
    rows = []
    for kind, lengths in _lengths(run, urgent=False).items():
        rows.append(figure(f"{kind}: until all tasks have results", "ms", lengths))
    for kind, lengths in _lengths(run, urgent=True).items():
        rows.append(figure(f"{kind}: until the most urgent task has one", "ms", lengths))
    if len(run.stopped):
        rows.append(figure("standstills of the lane's core", "ms", run.stopped["for_ns"] / 1e6))
    for name, task in judged.tasks.items():
        if len(task.response_ms):
            rows.append(figure(f"{name}: response outside windows", "ms", task.response_ms))
    for part, found in judged.trends.items():
        rows.append(Figure(f"{part}: resident memory", "MiB", found.samples, found.rss_mib))
        if found.slope_mib_h is not None:
            rows.append(Figure(f"{part}: slope of it", "MiB/h", found.samples, found.slope_mib_h))
        if found.half_mib_h is not None:
            rows.append(Figure(f"{part}: slope in its second half", "MiB/h", 1, found.half_mib_h))
    return rows


def facts(run: Run, judged: Judged) -> dict[str, Any]:
    """Return everything else that is worth keeping."""
    return {
        "facts": dict(run.facts),
        "minutes": run.minutes,
        "goals": [asdict(each) for each in judged.goals],
        "accounts": {name: asdict(each) for name, each in judged.accounts.items()},
        "killed_lives": asdict(judged.killed),
        "exact_counts": {"made": judged.counts[0], "balanced": judged.counts[1]},
        "tasks": {
            name: {
                "frames": each.frames,
                "outside": each.outside,
                "late": each.late,
                "without": each.without,
                "late_stopped": each.late_stopped,
                "without_stopped": each.without_stopped,
                "late_sooner": judged.sooner[name].late,
                "without_sooner": judged.sooner[name].without,
                "inside_late": each.inside_late,
                "inside_without": each.inside_without,
                "bad": each.bad[:_BAD],
            }
            for name, each in judged.tasks.items()
        },
        "trends": {part: asdict(each) for part, each in judged.trends.items()},
        "remarks": run.remarks,
    }


def show(run: Run, judged: Judged) -> None:
    """Print tables and goals."""
    output = console()
    shown = table("faults: until all is good again, ms", "fault", "count", "p50", "max", "urgent")
    urgent = _lengths(run, urgent=True)
    for kind, lengths in _lengths(run, urgent=False).items():
        numbers = (np.median(lengths), max(lengths), np.median(urgent[kind]))
        shown.add_row(str(kind), str(len(lengths)), *(f"{each:,.0f}" for each in numbers))
    output.print(shown)
    high = {each.name: each.high for each in run.contracts}
    shown = table(
        "frames, outside windows (inside)",
        *("task", "frames", "late", "near a stop", "without", "near a stop", "p99 ms", "max ms"),
    )
    for name, task in judged.tasks.items():
        response = task.response_ms
        p99, most = (
            (np.percentile(response, 99), response.max()) if len(response) else (np.nan, np.nan)
        )
        shown.add_row(
            name + (" (high)" if high[name] else ""),
            f"{task.outside:,} ({task.frames - task.outside:,})",
            f"{task.late} ({task.inside_late})",
            str(task.late_stopped),
            f"{task.without} ({task.inside_without})",
            str(task.without_stopped),
            f"{p99:.1f}",
            f"{most:.1f}",
        )
    output.print(shown)
    more = [judged.sooner[each.name] for each in run.contracts if each.high]
    output.print(
        f"if every window ended with the first result of each task, {sum(e.late for e in more)} "
        f"results of high criticality would be late, and {sum(e.without for e in more)} missing"
    )
    columns = (
        *("sent", "heard", "dropped", "transport", "on_the_way"),
        *("unseen", "unbalanced", "unheard", "untold"),
    )
    shown = table("first life of the node: what became of all frames", "task", *columns)
    for name, each in judged.accounts.items():
        shown.add_row(name, *(f"{getattr(each, column):,}" for column in columns))
    output.print(shown)
    killed = judged.killed
    output.print(
        f"{killed.lives} lives that were killed: {killed.sent:,} frames sent, {killed.heard:,} "
        f"results, {killed.with_node:,} due when the node was killed, {killed.inside:,} others "
        f"within the window of a fault, {killed.dropped:,} dropped for a reason that was told, "
        f"{killed.unreported:,} that the last status before the kill cannot hold, "
        f"{killed.unexplained:,} unexplained"
    )
    for part, found in judged.trends.items():
        slope = "" if found.slope_mib_h is None else f", {found.slope_mib_h:+.2f} MiB an hour"
        output.print(
            f"{part}: {found.rss_mib:.1f} MiB{slope}, over {found.life_s / 60:.1f} minutes, the "
            f"first {found.skipped_s / 60:.1f} left out ({found.samples} samples)"
        )
    if len(run.stopped):
        lengths_ms = run.stopped["for_ns"] / 1e6
        output.print(
            f"the machine stopped the lane's core {len(lengths_ms):,} times, for "
            f"{np.median(lengths_ms):.1f} ms (median), {lengths_ms.max():.1f} ms at most and "
            f"{lengths_ms.sum() / 1e3:.1f} s altogether"
        )
    for text in run.remarks:
        output.print(f"remark: {text}")
    shown = table("goals", "goal", "found", "met")
    for goal in judged.goals:
        shown.add_row(goal.name, goal.found, _VERDICTS[goal.met])
    output.print(shown)


def _lengths(run: Run, *, urgent: bool) -> dict[Kind, list[float]]:
    found: dict[Kind, list[float]] = {}
    for kind in Kind:
        lengths = _of(run, kind, urgent)
        if lengths:
            found[kind] = lengths
    return found


def _of(run: Run, kind: Kind, urgent: bool) -> list[float]:
    mine: Iterable[Any] = (each for each in run.windows if each.kind is kind)
    return [each.urgent_ms if urgent else each.length_ms for each in mine]
