"""Times the proof: an admission, what-if answers, the simulator; and plots cost against n.

    python -m benchmarks.analysis [--quick] [--sets 25] [--out FOLDER] [--json FILE]

Sets are random (UUniFast, periods of 10 ms to 1 s, deadlines around the period, jitter up to
2 ms, networks of four segments), each timed once after a warm-up, in processor time of one core, so
that other programs on it are not in the figures. An admission is what the orchestrator asks: one
more task beside those that run, with witness and response bounds from the demand; with bounds from
start times it is the whole answer for one lane. Counterfactuals are those of a rejection: 29 tasks
run and one more is too much. If SimSo is installed, its non-preemptive EDF is run on the same sets.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from aegis_ros.analysis import AnalysisTask, assign, check_lane, counterfactuals, is_schedulable
from aegis_ros.simulation import periodic_arrivals, simulate
from benchmarks.analysis import against_simso
from benchmarks.analysis.sets import network_set, split
from benchmarks.progress import Shown, progress, steps
from benchmarks.report import console, parser, publish, read_options, table

_COUNTS = (3, 10, 30, 100, 300, 1000)
_GOALS_MS = {30: 2.0, 300: 20.0, 1000: 150.0}
_RATE_GOALS = {(1, 1): 200.0, (4, 1): 300.0}  # jobs a millisecond, by lanes and segments
_UTILIZATION = 0.8
_LANE = "main"
_MS = 1_000_000


def admission(tasks: Sequence[AnalysisTask]) -> bool:
    """Admit the last task beside the others."""
    fixed = {task.name: _LANE for task in tasks[:-1]}
    return assign(tasks, [_LANE], fixed=fixed).schedulable


def tight(tasks: Sequence[AnalysisTask]) -> bool:
    """Answer for the lane with bounds from start times."""
    return check_lane(tasks, tight=True).schedulable


def yes_or_no(tasks: Sequence[AnalysisTask]) -> bool:
    """Answer alone."""
    return is_schedulable(tasks)


_ANSWERS: dict[str, Callable[[Sequence[AnalysisTask]], bool]] = {
    "admission": admission,
    "with start-time bounds": tight,
    "yes or no": yes_or_no,
}


def timed_ms(action: Callable[[], object]) -> float:
    """Return milliseconds of processor time of one call: what others take of the core is not in."""
    begin = time.process_time()
    action()
    return (time.process_time() - begin) * 1e3


def accepted_sets(count: int, wanted: int) -> list[list[AnalysisTask]]:
    """Return schedulable sets: a rejection may be decided sooner."""
    found: list[list[AnalysisTask]] = []
    for seed in range(60 * wanted):
        tasks = network_set(count, _UTILIZATION, np.random.default_rng(seed), segments=4)
        if is_schedulable(tasks):
            found.append(tasks)
        if len(found) == wanted:
            break
    return found


def answers(wanted: int, shown: Shown) -> list[dict[str, Any]]:
    """Time each kind of answer against the number of tasks."""
    rows = []
    for count in steps(shown, _COUNTS, "answers"):
        sets = accepted_sets(count, wanted)
        for name, action in _ANSWERS.items():
            action(sets[0])
            times = [timed_ms(partial(action, tasks)) for tasks in sets]
            goal = None if action is yes_or_no else _GOALS_MS.get(count)
            rows.append(_row(name, count, unit="ms", values=times, goal=goal))
    return rows


def what_if(wanted: int, shown: Shown) -> list[dict[str, Any]]:
    """Time the counterfactuals of rejections of 30 tasks, on one lane and on two."""
    rows = []
    for lanes in (("main",), ("first", "second")):
        times: list[float] = []
        for seed in steps(shown, range(100 * wanted), f"what-if, lanes: {len(lanes)}"):
            running = network_set(
                29, 0.6 * len(lanes), np.random.default_rng(seed), deadlines=(1.0, 2.0), segments=4
            )
            found = assign(running, lanes)
            # Half of them ask for too much, the others hold the lane for too long.
            budget_ms, period_ms = ((90, 150), (60, 600))[len(times) % 2]
            new = AnalysisTask("new", (budget_ms * _MS,), period_ms * _MS, period_ms * _MS)
            tasks, fixed = [*running, new], found.lane_of
            if not found.schedulable or assign(tasks, lanes, fixed=fixed).schedulable:
                continue
            advise = partial(counterfactuals, tasks, "new", lanes, fixed=fixed)
            if not times:
                advise()  # the first one imports the words for its answer
            times.append(timed_ms(advise))
            if len(times) == wanted:
                break
        name = f"what-if, lanes: {len(lanes)}"
        rows.append(_row(name, 30, unit="ms", values=times, goal=50.0))
    return rows


def simulator(counts: Sequence[int], shown: Shown) -> list[dict[str, Any]]:
    """Time the simulator on 200,000 jobs, 10 tasks a lane, whole and in four segments.

    Args:
        counts: of lanes.
        shown: where progress is shown.
    """
    rows = []
    for lanes, parts in product(counts, (1, 4)):
        tasks = [
            replace(task, name=f"{task.name}_{lane}", jitter_ns=0)
            for lane in range(lanes)
            for task in network_set(10, 0.7, np.random.default_rng(1 + lane))
        ]
        cut = split(tasks, parts)
        workload = periodic_arrivals(cut, 640_000 * _MS // lanes)
        # Left out for one lane, so that versions which knew no more can be timed.
        places: dict[str, Any] = {}
        if lanes > 1:
            places["lanes"] = [index // 10 for index in range(len(tasks))]
        # Names of before there were several, so that the figures of older commits are found.
        name = f"simulator, segments: {parts}" + (f", lanes: {lanes}" if lanes > 1 else "")
        rates = [
            len(workload) / timed_ms(partial(simulate, cut, workload, **places))
            for _ in steps(shown, range(7), name)
        ]
        goal = _RATE_GOALS.get((lanes, parts))
        rows.append(_row(name, len(tasks), unit="jobs/ms", values=rates, goal=goal))
    return rows


def simso(sets: int, shown: Shown) -> dict[str, Any]:
    """Compare with SimSo; say so where it is missing."""
    if not against_simso.is_installed():
        note = "SimSo is not installed (pip install simso): not compared"
        shown.console.print(note)
        return {"note": note}
    found = []
    for seed in steps(shown, range(sets), "SimSo"):
        generator = np.random.default_rng(seed)
        tasks = network_set(10, float(generator.uniform(0.6, 0.95)), generator)
        whole = [replace(task, jitter_ns=0) for task in tasks]
        found.append(against_simso.compare(whole, 5_000 * _MS, generator))
    figures = {
        "sets": len(found),
        "jobs": sum(each.jobs for each in found),
        "jobs_with_another_response_time": sum(each.unequal for each in found),
        "misses": sum(each.missed for each in found),
        "misses_in_simso": sum(each.missed_there for each in found),
        "jobs_a_second": statistics.median(each.jobs_a_second for each in found),
        "jobs_a_second_of_simso": statistics.median(each.jobs_a_second_there for each in found),
        "times_as_fast": statistics.median(
            each.jobs_a_second / each.jobs_a_second_there for each in found
        ),
    }
    shown.console.print(
        "SimSo: {jobs} jobs of {sets} sets, {jobs_with_another_response_time} with another "
        "response time; misses {misses} here, {misses_in_simso} there; "
        "{times_as_fast:.0f} times as fast".format(**figures),
        highlight=False,
    )
    return figures


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw cost against the number of tasks."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    colors = ("#1b6ca8", "#c8553d", "#5b8c5a")
    for name, color in zip(_ANSWERS, colors, strict=True):
        own = [row for row in rows if row["name"] == name]
        counts = [row["tasks"] for row in own]
        axes.plot(counts, [row["p50"] for row in own], "o-", color=color, label=name)
        axes.fill_between(
            counts,
            [row["p50"] for row in own],
            [row["max"] for row in own],
            color=color,
            alpha=0.15,
        )
    axes.plot(list(_GOALS_MS), list(_GOALS_MS.values()), "k_", markersize=16, label="goal")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="tasks on the lane",
        ylabel="milliseconds (median; shaded up to the slowest)",
        title="Cost of an answer",
    )
    axes.set_xticks(_COUNTS, [str(count) for count in _COUNTS], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def _row(
    name: str, count: int, *, unit: str, values: Sequence[float], goal: float | None
) -> dict[str, Any]:
    return {
        "name": name,
        "tasks": count,
        "unit": unit,
        "count": len(values),
        "p50": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "goal": goal,
    }


def main() -> None:
    """Run all, print a table, draw."""
    arguments = parser("benchmarks.analysis", __doc__)
    arguments.add_argument("--sets", type=int, default=25, help="random sets for each figure (25)")
    arguments.add_argument(
        "--lanes", type=int, nargs="+", default=[1, 4], help="of the simulator (1 4)"
    )
    arguments.add_argument("--out", type=Path, help="folder for cost.png")
    options = read_options(arguments, {"sets": 8})
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # figures are for one core
    with progress() as shown:
        rows = [
            *answers(options.sets, shown),
            *what_if(options.sets, shown),
            *simulator(options.lanes, shown),
        ]
        compared = simso(options.sets, shown)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        plot(rows, options.out / "cost.png")
    output = table("analysis", "name", "tasks", "unit", "p50", "min", "max", "goal")
    for row in rows:
        goal = row["goal"]
        output.add_row(
            row["name"],
            str(row["tasks"]),
            row["unit"],
            *(f"{row[column]:.2f}" for column in ("p50", "min", "max")),
            "" if goal is None else f"{goal:g}",
        )
    console().print(output)
    publish("benchmarks.analysis", options.json, rows, {"simso": compared})


if __name__ == "__main__":
    main()
