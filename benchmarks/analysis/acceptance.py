"""How many random sets are accepted, by utilization: the tests against what could be accepted.

    python -m benchmarks.analysis.acceptance [--quick] [--sets 200] [--out FOLDER]

Sets by UUniFast, periods that divide 200 ms, deadlines of 80 to 100 % of the period, no jitter.
Each test sees the same sets. Two limits stand beside the tests. "Any scheduler" is exact
preemptive EDF: what fails there fails under every scheduler. "No miss found" simulates the very
scheduler under adversarial arrivals (each task's longest segment just begun when all others
arrive, and random phases): what misses there is rightly rejected, so that the distance between
a test's line and its circles is the most the test can be too careful by. CW-EDF and tables
promise less: for strictly periodic tasks that start together. A table that is not found within
the time limit counts as no.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from aegis_ros.analysis import AnalysisTask, is_schedulable
from aegis_ros.analysis.demand import LaneLoad
from aegis_ros.analysis.policies import PolicyName, check_policy
from aegis_ros.simulation import periodic_arrivals, simulate
from benchmarks.analysis.sets import scaled_set, split
from benchmarks.progress import progress
from benchmarks.report import Figure, console, parser, publish, read_options, table

_MS = 1_000_000
_COUNTS = (5, 10, 30)
_UTILIZATIONS = tuple(round(0.4 + 0.05 * step, 2) for step in range(13))
_PARTS = (1, 2, 4, 8)
_CYCLE_NS = 200 * _MS
_RANDOM_PHASES = 4
_FOUND = ", no miss found"
_Case = tuple[int, float, int]


def constrained_set(
    count: int, utilization: float, generator: np.random.Generator
) -> list[AnalysisTask]:
    """Return a set whose deadlines lie at 80 to 100 % of the period, where budgets allow."""
    return [
        replace(
            task,
            deadline_ns=max(
                sum(task.segments_ns), int(task.period_ns * generator.uniform(0.8, 1.0))
            ),
        )
        for task in scaled_set(count, utilization, generator)
    ]


def any_scheduler(tasks: Sequence[AnalysisTask]) -> bool:
    """Return whether preemptive EDF, an optimal scheduler, passes: ``h(t) <= t``, exact."""
    load = LaneLoad(tasks)
    if load.compare_to_one() > 0:
        return False
    curve = load.curve(load.latest_ns + _CYCLE_NS)
    return bool(np.all(curve.demand_ns <= curve.t_ns))


def no_miss_found(tasks: Sequence[AnalysisTask], generator: np.random.Generator) -> bool:
    """Return whether EDF keeps all deadlines under the adversarial arrivals tried."""
    phases = [[0] * len(tasks)]
    for blocker, task in enumerate(tasks):
        longest = max(range(len(task.segments_ns)), key=task.segments_ns.__getitem__)
        begun = sum(task.segments_ns[:longest]) + 1
        phases.append([0 if index == blocker else begun for index in range(len(tasks))])
    phases += [
        [int(generator.integers(0, task.period_ns)) for task in tasks]
        for _ in range(_RANDOM_PHASES)
    ]
    until = 2 * _CYCLE_NS
    return not any(
        simulate(tasks, periodic_arrivals(tasks, until, phase)).missed.any() for phase in phases
    )


def judge(case: _Case) -> dict[str, bool]:
    """Return who accepts one random set."""
    count, utilization, index = case
    generator = np.random.default_rng([count, round(utilization * 100), index])
    tasks = constrained_set(count, utilization, generator)
    possible = any_scheduler(tasks)
    found = {"utilization alone": LaneLoad(tasks).compare_to_one() <= 0, "any scheduler": possible}
    for parts in _PARTS:
        cut = split(tasks, parts)
        name = "EDF, non-preemptive" if parts == 1 else f"EDF, {parts} segments"
        found[name] = accepted = is_schedulable(cut)
        found[name + _FOUND] = accepted or (possible and no_miss_found(cut, generator))
    policies: dict[str, PolicyName] = {"CW-EDF, periodic": "cw_edf", "table, periodic": "table"}
    for name, policy in policies.items():
        found[name] = check_policy(tasks, policy=policy, limit_s=1.0)[0].schedulable
    return found


def plot(ratios: dict[int, dict[str, list[float]]], path: Path) -> None:
    """Draw acceptance ratios, one panel for each number of tasks."""
    from matplotlib.figure import Figure

    colors = {
        "EDF, non-preemptive": "#7b2d8b",
        "EDF, 2 segments": "#1b6ca8",
        "EDF, 4 segments": "#2a9d8f",
        "EDF, 8 segments": "#8ab17d",
        "CW-EDF, periodic": "#e09f3e",
        "table, periodic": "#c8553d",
        "any scheduler": "#000000",
        "utilization alone": "#9a9a9a",
    }
    figure = Figure(figsize=(12.0, 4.8), layout="constrained")
    panels = figure.subplots(1, len(ratios), sharey=True)
    for axes, (count, curves) in zip(panels, ratios.items(), strict=True):
        for name, color in colors.items():
            if name not in curves:
                continue
            style = "-" if name.startswith("EDF") else "--"
            axes.plot(_UTILIZATIONS, curves[name], style, color=color, label=name, linewidth=1.8)
            if name + _FOUND in curves:
                axes.plot(_UTILIZATIONS, curves[name + _FOUND], "o", color=color, fillstyle="none")
        axes.set(xlabel="utilization", title=f"{count} tasks", ylim=(-3, 103), xlim=(0.39, 1.01))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accepted sets in %")
    handles, labels = panels[0].get_legend_handles_labels()
    (circle,) = panels[0].plot([], [], "o", color="#555555", fillstyle="none")
    figure.legend(
        [*handles, circle],
        [*labels, "EDF: no miss in simulation"],
        loc="outside lower center",
        ncols=5,
        frameon=False,
    )
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the study, print a table, draw."""
    arguments = parser("benchmarks.analysis.acceptance", __doc__)
    arguments.add_argument("--sets", type=int, default=200, help="for each point (200)")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (all cores)")
    arguments.add_argument("--out", type=Path, help="folder for acceptance.png")
    options = read_options(arguments, {"sets": 4})
    cases: list[_Case] = [
        (count, utilization, index)
        for count in _COUNTS
        for utilization in _UTILIZATIONS
        for index in range(options.sets)
    ]
    votes: dict[int, dict[str, dict[float, list[bool]]]] = {count: {} for count in _COUNTS}
    with ProcessPoolExecutor(options.jobs) as pool, progress() as shown:
        row = shown.add_task("random sets", total=len(cases))
        for case, found in zip(cases, pool.map(judge, cases, chunksize=4), strict=True):
            for name, accepted in found.items():
                votes[case[0]].setdefault(name, {}).setdefault(case[1], []).append(accepted)
            shown.advance(row)
    ratios = {
        count: {
            name: [100.0 * float(np.mean(by_use[use])) for use in _UTILIZATIONS]
            for name, by_use in names.items()
        }
        for count, names in votes.items()
    }
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        plot(ratios, options.out / "acceptance.png")
    title = "accepted sets in %, mean over U = 0.4 to 1.0"
    output = table(title, "test", *(f"{count} tasks" for count in _COUNTS))
    for name in ratios[_COUNTS[0]]:
        output.add_row(name, *(f"{np.mean(ratios[count][name]):.1f}" for count in _COUNTS))
    console().print(output)
    sets = options.sets * len(_UTILIZATIONS)
    publish(
        "benchmarks.analysis.acceptance",
        options.json,
        [
            Figure(f"accepted by {name}, {count} tasks", "%", sets, float(np.mean(percent)))
            for count, names in ratios.items()
            for name, percent in names.items()
        ],
        {"utilizations": _UTILIZATIONS, "accepted_percent": ratios},
    )


if __name__ == "__main__":
    main()
