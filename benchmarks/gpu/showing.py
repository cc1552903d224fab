"""Shows what the benchmark found, and what speaks against the orchestrator."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from benchmarks.compare.results import Results
from benchmarks.gpu.bench import LANES
from benchmarks.gpu.goals import against_dividing, goals, overruns
from benchmarks.gpu.host import show_host
from benchmarks.gpu.report import Report
from benchmarks.gpu.waiting import show_job_costs
from benchmarks.report import table

__all__ = ["show"]

_GOAL_US = 50.0


def show(report: Report) -> None:
    """Print the tables of each place, and what was left out."""
    for results in report.places.values():
        print(f"\n===== {results.facts['title']} =====")
        found = results.facts.get("capacity")
        if found is not None:
            print(f"a stream a network misses nothing up to {found['rate']:.2f} streams' worth")
        results.show()
        _show_apart(results.facts)
        _show_against(results)
        if "host" in results.facts:
            show_host(_console(), results.facts["host"])
        show_job_costs(_console(), results.facts.get("job_costs", []))
    for line in report.facts["failed"]:
        print(f"left out, because it failed: {line}")
    for line in report.facts["no_time"]:
        print(f"left out, because there was no time: {line}")


def _show_against(results: Results) -> None:
    """Print what speaks against the orchestrator; goals that were reached are in the table."""
    summary = results.summary()
    lines = [
        f"{what}: NO, {reached}"
        for what, reached, met in goals(summary, results.workload)
        if not met
    ]
    network_of = {task.name: task.network for plan in results.plans.values() for task in plan.tasks}
    budget_ms = {name: row["budget_ms"] for name, row in results.facts["budgets"].items()}
    lines += overruns(summary, budget_ms, network_of)
    lines += against_dividing(results.facts.get("contention", []))
    for name, row in results.facts["budgets"].items():
        if row["budget_ms"] > 2.0 * row["p50_ms"]:
            lines.append(
                f"{name} is given {row['budget_ms']:.2f} ms, {row['budget_ms'] / row['p50_ms']:.1f}"
                f" times its median; 99.9 % of runs take at most {row['p99.9_ms']:.2f} ms"
            )
    if not any(arm in LANES for one in summary.values() for arm in one["rows"]):
        lines.append("none of its ways ran")
    print("\nWhat speaks against aegis_ros here:")
    print(*(f"  {line}" for line in lines or ["nothing that was asked"]), sep="\n")


def _show_apart(facts: Mapping[str, Any]) -> None:
    console = _console()
    costs: Mapping[str, Mapping[str, Any]] = facts.get("between_segments_us", {})
    if costs:
        shown = table("between two segments, us", "network", "in", "p50", "p99", "max", "")
        for name, row in costs.items():
            numbers = (f"{row[each]:.0f}" for each in ("p50", "p99", "max"))
            shown.add_row(name, str(row["segments"]), *numbers, str(row["note"]))
        console.print(shown)
        worst = max(row["p99"] for row in costs.values())
        met = "yes" if worst <= _GOAL_US else "no"
        console.print(f"p99 between two segments <= {_GOAL_US:.0f} us: {met} ({worst:.0f} us)")
    shared: Sequence[Mapping[str, Any]] = facts.get("contention", [])
    if shared:
        shown = table(
            "execution beside the heaviest other network or a load, over that alone",
            *("network", "way", "runs", "p50 ms", "p50", "p99.9"),
        )
        for each in shared:
            shown.add_row(
                str(each["network"]),
                str(each["way"]),
                str(each["runs"]),
                f"{each['p50_ms']:.2f}",
                f"{each['p50_factor']:.2f}",
                f"{each['p999_factor']:.2f}",
            )
        console.print(shown)


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=150, no_color=True)
