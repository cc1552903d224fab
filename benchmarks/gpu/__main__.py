"""Runs five networks on one GPU in seven ways and counts who is late; needs no ROS.

Ways: a stream a network, a process a network, one queue, and the orchestrator with one lane, two,
three, and two that divide the GPU. All run the same compiled networks through this package's
engine, so that only who runs when differs. The load is a share of what was measured first: the rate
at which a stream a network begins to miss deadlines. Everything runs on the whole GPU, and once
more inside 16 of its multiprocessors, which are full where the whole GPU has room.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from aegis_ros.backends import CompiledNetwork, backend_names, capabilities_of, create_backend
from aegis_ros.errors import AegisError
from aegis_ros.spec import Wait
from aegis_ros.wcet import Cache, Condition, Stress
from benchmarks.compare.plan import Planner
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Workload
from benchmarks.gpu.budgets import budget_row
from benchmarks.gpu.capacity import Probe, capacity
from benchmarks.gpu.card import circumstances
from benchmarks.gpu.device import contention, segment_cost
from benchmarks.gpu.drawing import draw_file
from benchmarks.gpu.goals import goals, overruns
from benchmarks.gpu.mix import LoadPlan, Mix
from benchmarks.gpu.partitions import CONFINED, OUTSIDE, offer
from benchmarks.gpu.place import Place, places
from benchmarks.gpu.report import PACKAGE, Report
from benchmarks.gpu.waiting import job_costs, show_job_costs
from benchmarks.gpu.ways import SHARES, WAYS, Bench, Running, arm_of, opened, round_of
from benchmarks.gpu.workload import workload
from benchmarks.progress import Shown, progress
from benchmarks.report import parser, read_options, table

_PARTS = 8
_CORES_TO_SHARE_OUT = 8
_FIRST_WAYS = 3  # before what a job costs
_CUT = ("direction",)  # of which a segment's cost is looked at
_BESIDE = ("direction", "text_lines", "faces")  # that are timed beside another network
_GOAL_US = 50.0
_PROBE_S, _PROBE_WARM_UP_S = 1.2, 0.3
_BUDGET_S = 2.5  # to measure a budget under one condition
_ON_A_DEVICE = (Condition(), Condition(stress=Stress.MEMORY))
_ON_CORES = (*_ON_A_DEVICE, Condition(cache=Cache.COLD))  # which a device of its own does not use
# The most telling first, should time run out.
_IN_ORDER = ("streams", "aegis_2", "aegis", "queue", "processes", "aegis_3", "aegis_shares")
_ALL_PARTS = ("ways", "costs", "apart")
_QUICK: dict[str, Any] = {
    "loads": [0.8, 1.3],
    "seconds": 2.0,
    "runs": 200,
    "minutes": 2.5,
    "ways": ["streams", "aegis_2", "aegis", "queue"],
}
_EXAMPLES = """
examples:
  python -m benchmarks.gpu --backend onnxruntime_cuda --json gpu.json --plot gpu.png
      under 8 minutes; figures are written after each part
  python -m benchmarks.gpu --backend onnxruntime_cuda --places inside --inside 16
      only as on a small GPU
  python -m benchmarks.gpu --draw gpu.json --plot gpu.png
      the picture of an earlier run
  python -m benchmarks.gpu --backend onnxruntime --seconds 2 --runs 50
      the same on processor cores: shows that the benchmark works, and says nothing of a GPU
"""


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    options = _options()
    if options.draw is not None:
        for path in draw_file(options.draw, options.plot or options.draw.with_suffix(".png")):
            print(path)
        return
    with tempfile.TemporaryDirectory() as temporary, progress() as shown:
        state = options.state or Path(temporary) / "state"
        folder = state / "run"
        folder.mkdir(parents=True, exist_ok=True)
        offer(state / "plugins", options.inside)
        try:
            named = create_backend(options.backend).device_name()
        except AegisError as error:
            raise SystemExit(str(error)) from error
        facts = {"device": named, "runs": options.runs, **circumstances(options.commit)}
        report = Report(facts, options.json, options.minutes * 60.0)
        for place in places(
            options.backend,
            options.places,
            inside=options.inside,
            share=options.share,
            scale=options.scale,
            copies=options.copies,
        ):
            with report.part(place.title), contextlib.suppress(KeyboardInterrupt):
                _at(place, options, report, state=state, folder=folder, shown=shown)
    _show(report)
    if options.plot is not None and options.json is not None:
        draw_file(options.json, options.plot)


def _options() -> argparse.Namespace:
    arguments = parser(PACKAGE, __doc__)
    arguments.epilog = _EXAMPLES
    known = sorted({*backend_names()} - {"simulated", CONFINED, OUTSIDE})
    arguments.add_argument("--backend", default="tensorrt", choices=known)
    arguments.add_argument("--places", nargs="+", choices=["whole", "inside"],
                           default=["whole", "inside"])  # fmt: skip
    arguments.add_argument("--inside", type=int, default=16, help="multiprocessors there (16)")
    arguments.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.8, 0.95, 1.3],
                           help="of the rate at which streams begin to miss")  # fmt: skip
    arguments.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(_IN_ORDER))
    arguments.add_argument("--parts", nargs="+", choices=_ALL_PARTS, default=list(_ALL_PARTS),
                           help="ways to share the device, what a job costs, and what lies apart "
                           "from that: neighbours, shares, segments (all)")  # fmt: skip
    arguments.add_argument("--seconds", type=float, default=4.0, help="of each round (4)")
    arguments.add_argument("--runs", type=int, default=2000, help="to measure each budget (2000)")
    arguments.add_argument("--minutes", type=float, default=7.0,
                           help="after which no further part begins (7)")  # fmt: skip
    arguments.add_argument("--scale", type=int, default=0,
                           help="of the large networks' frames (whole GPU 2, else 1)")  # fmt: skip
    arguments.add_argument("--copies", type=int, default=0,
                           help="tasks of each large network (whole GPU 2, else 1)")  # fmt: skip
    arguments.add_argument("--share", type=int, default=64,
                           help="multiprocessors of the first of two shares (64)")  # fmt: skip
    arguments.add_argument("--wait", choices=[str(each) for each in Wait], default="sleep",
                           help="how the lanes of all ways wait for a GPU (sleep)")  # fmt: skip
    arguments.add_argument("--switch-ms", type=float, default=0.2, help="cost of a segment (0.2)")
    arguments.add_argument("--state", type=Path, help="folder that keeps engines and profiles")
    arguments.add_argument("--commit", default="", help="of this package, where git cannot say")
    arguments.add_argument("--plot", type=Path, help="also draw the figures to this file")
    arguments.add_argument("--draw", type=Path, help="only draw the figures of this file")
    return read_options(arguments, _QUICK)


def _at(
    place: Place,
    options: argparse.Namespace,
    report: Report,
    *,
    state: Path,
    folder: Path,
    shown: Shown,
) -> None:
    """Run everything at one place."""
    runs_on, cores, lane_cores = _workload(place, options)
    ways = [way for way in _IN_ORDER if way in options.ways and (place.share or way != SHARES)]
    arms = [arm_of(way) for way in ways]
    facts: dict[str, Any] = {"title": place.title, "scale": place.scale, "copies": place.copies}
    results = report.places[place.name] = Results(
        runs_on, [], arms, ways=ways, goals=goals, facts=facts
    )
    cut: dict[str, CompiledNetwork] = {}
    budgets: dict[str, dict[str, Any]] = {}
    facts |= {"budgets": budgets, "admissions": {}}
    on_cores = capabilities_of(place.backend).on_cores
    with Planner(
        runs_on,
        folder,
        state,
        runs=options.runs,
        progress=shown,
        conditions=_ON_CORES if on_cores else _ON_A_DEVICE,
        limit_s=_BUDGET_S,
    ) as planner:
        compiled = planner.compiled()
        for name in runs_on.networks:
            budgets[name] = budget_row(planner.profile(name))
        report.write()
        if place.name == "whole" and options.parts != ["ways"]:
            for name in _CUT:
                with report.part(f"{name} in {_PARTS} segments"):
                    cut[name] = planner.in_segments(name, _PARTS)
    mix = Mix(runs_on, {name: row["alone_p50_ms"] for name, row in budgets.items()}, place.copies)
    bench = Bench(runs_on, compiled, state, folder, cores, lane_cores, place.share)
    rate = 1.0
    for at, arm in enumerate(arms if "ways" in options.parts else ()):
        if at == _FIRST_WAYS:
            _job_costs(place, bench, cut, options=options, report=report, facts=facts)
        title = f"{place.title}: {arm.label}"
        if report.late(title):
            continue
        shown.console.print(title)
        if arm.ours:
            _ours(bench, arm, mix, rate, options=options, report=report, results=results)
            continue
        with report.part(title), opened(bench, arm, mix.tasks(rate)) as way:
            if arm.way == "streams":
                rate, tried = capacity(partial(_probe, bench, arm, way, mix=mix))
                facts["capacity"] = {"rate": rate, "probes": [each.as_values() for each in tried]}
            for load in options.loads:
                plan = _planned(results, mix, budgets, load=load, rate=rate)
                _round(bench, arm, way, plan, options=options, report=report, results=results)
    if "job_costs" not in facts:
        _job_costs(place, bench, cut, options=options, report=report, facts=facts)
    if "apart" in options.parts:
        _apart(place, bench, cut, options=options, report=report, facts=facts)


def _workload(
    place: Place, options: argparse.Namespace
) -> tuple[Workload, tuple[int, ...], tuple[int, ...]]:
    """Return what runs, the cores of the cameras, and those of the lanes."""
    cores = sorted(os.sched_getaffinity(0))
    on_cores = capabilities_of(place.backend).on_cores
    core: int | None
    if on_cores:
        core, cameras, lanes = cores[-1], tuple(cores[:-1]), tuple(reversed(cores))
    else:
        # Threads that wait for a GPU have a core each where there are enough, as on a robot: what
        # loads the others while budgets are measured would else run before them.
        enough = len(cores) >= _CORES_TO_SHARE_OUT
        lanes = tuple(reversed(cores[len(cores) // 2 :])) if enough else ()
        core = lanes[0] if lanes else None
        cameras = tuple(cores[: len(cores) // 2]) if lanes else ()
    device: dict[str, Any] = {
        "backend": place.backend,
        "lanes": [{"name": "main", "cpu": core}],
        "arena_mib": 16384,
        "switch_ms": options.switch_ms,
        "wait": options.wait,
    }
    runs_on = replace(workload(device, core, place.scale), jitter_ms=2.0 if on_cores else 1.0)
    return runs_on, cameras, lanes


def _probe(bench: Bench, arm: Arm, way: Running, rate: float, *, mix: Mix) -> Probe:
    """Feed a stream a network at a rate for a short while."""
    tasks = mix.tasks(rate)
    item = round_of(
        bench,
        arm,
        way,
        load=1.0,
        number=0,
        tasks=tasks,
        seconds=_PROBE_S,
        warm_up_s=_PROBE_WARM_UP_S,
    )
    deadlines = {task.name: task.deadline_ms for task in tasks}
    missed = sum(
        one.without + int((one.response_ms > deadlines[name]).sum())
        for name, one in item.tasks.items()
    )
    return Probe(rate, sum(one.frames for one in item.tasks.values()), missed, item.cpu.way)


def _planned(
    results: Results,
    mix: Mix,
    budgets: Mapping[str, Mapping[str, Any]],
    *,
    load: float,
    rate: float,
) -> LoadPlan:
    """Return what runs at a load, and note it."""
    tasks = mix.tasks(rate, load)
    budget_ms = {task.name: float(budgets[task.network]["budget_ms"]) for task in tasks}
    switch_ms = mix.workload.switch_ms
    plan = LoadPlan(
        load,
        tasks,
        1.0,
        budget_ms,
        dict.fromkeys(budget_ms, 1),
        sum((budget_ms[task.name] + switch_ms) / task.period_ms for task in tasks),
        rate=sum(mix.solo_ms[task.network] / task.period_ms for task in tasks),
    )
    results.plans[load] = plan
    return plan


def _ours(
    bench: Bench,
    arm: Arm,
    mix: Mix,
    rate: float,
    *,
    options: argparse.Namespace,
    report: Report,
    results: Results,
) -> None:
    """Run one of the orchestrator's ways, which is started for each load, at all loads."""
    budgets = results.facts["budgets"]
    for load in options.loads:
        title = f"{results.facts['title']}: {arm.label}, {load:.0%}"
        if report.late(title):
            continue
        plan = _planned(results, mix, budgets, load=load, rate=rate)
        with report.part(title), opened(bench, arm, plan.tasks) as way:
            said = results.facts["admissions"].setdefault(arm.name, {})
            said[f"{load:g}"] = way.answers
            _round(bench, arm, way, plan, options=options, report=report, results=results)


def _round(
    bench: Bench,
    arm: Arm,
    way: Running,
    plan: LoadPlan,
    *,
    options: argparse.Namespace,
    report: Report,
    results: Results,
) -> None:
    item: Round = round_of(
        bench, arm, way, load=plan.load, number=0, tasks=plan.tasks, seconds=options.seconds
    )
    results.rounds.append(item)
    report.write()


def _job_costs(
    place: Place,
    bench: Bench,
    cut: Mapping[str, CompiledNetwork],
    *,
    options: argparse.Namespace,
    report: Report,
    facts: dict[str, Any],
) -> None:
    """Measure what a job costs for each way to wait."""
    if place.name != "whole" or "costs" not in options.parts:
        return
    facts["job_costs"] = []
    for what, measured in job_costs(bench, bench.compiled, cut, 1):
        if not report.late(what):
            with report.part(what):
                facts["job_costs"] += measured()


def _apart(
    place: Place,
    bench: Bench,
    cut: Mapping[str, CompiledNetwork],
    *,
    options: argparse.Namespace,
    report: Report,
    facts: dict[str, Any],
) -> None:
    """Measure what needs no cameras: a segment more, a neighbour, and dividing with its control."""
    costs: dict[str, dict[str, Any]] = {}
    facts["between_segments_us"] = costs
    shared: list[dict[str, Any]] = []
    facts["contention"] = shared
    few = {name: bench.compiled[name] for name in _BESIDE}
    if not report.late(f"{place.title}: contention"):
        with report.part(f"{place.title}: contention"):
            shared += contention(bench, few, options.runs)
    # The control knows the whole GPU only.
    divided = place.share and place.name == "whole"
    if divided and not report.late(f"{place.title}: divided"):
        with report.part(f"{place.title}: divided"):
            shared += contention(bench, few, options.runs, place.share, alone=shared)
    for name, network in cut.items():
        if not report.late(f"{place.title}: segments of {name}"):
            with report.part(f"{place.title}: segments of {name}"):
                costs |= segment_cost(bench, {name: network})


def _show(report: Report) -> None:
    for results in report.places.values():
        print(f"\n===== {results.facts['title']} =====")
        found = results.facts.get("capacity")
        if found is not None:
            print(f"a stream a network misses nothing up to {found['rate']:.2f} streams' worth")
        if results.rounds:
            results.show()
            _show_against(results)
        _show_apart(results.facts)
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
    for name, row in results.facts["budgets"].items():
        if row["budget_ms"] > 2.0 * row["p50_ms"]:
            lines.append(
                f"{name} is given {row['budget_ms']:.2f} ms, {row['budget_ms'] / row['p50_ms']:.1f}"
                f" times its median; 99.9 % of runs take at most {row['p99.9_ms']:.2f} ms"
            )
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
        console.print(f"p99 of dispatch <= {_GOAL_US:.0f} us: {met} ({worst:.0f} us)")
    shared: Sequence[Mapping[str, Any]] = facts.get("contention", [])
    if shared:
        shown = table(
            "execution beside the heaviest other network, over that alone",
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


if __name__ == "__main__":
    main()
