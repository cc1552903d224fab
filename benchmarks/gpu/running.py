"""Runs all parts of the benchmark at one place, each of which may fail or have no time."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aegis_ros.backends import CompiledNetwork, capabilities_of
from aegis_ros.wcet import Cache, Condition, Stress
from benchmarks.compare.plan import Planner
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Workload
from benchmarks.gpu.budgets import budget_row
from benchmarks.gpu.capacity import Probe, capacity
from benchmarks.gpu.device import beside_loads, contention, segment_cost
from benchmarks.gpu.goals import goals
from benchmarks.gpu.mix import LoadPlan, Mix
from benchmarks.gpu.options import IN_ORDER
from benchmarks.gpu.place import Place
from benchmarks.gpu.report import Report
from benchmarks.gpu.waiting import job_costs
from benchmarks.gpu.ways import SHARES, Bench, Running, arm_of, opened, round_of
from benchmarks.gpu.workload import workload
from benchmarks.progress import Shown

__all__ = ["run_at"]

_PARTS = 8
_CORES_TO_SHARE_OUT = 8
_FIRST_WAYS = 3  # before what a job costs
_CUT = ("direction",)  # of which a segment's cost is looked at
_BESIDE = ("direction", "text_lines", "faces")  # that are timed beside another network
_PROBE_S, _PROBE_WARM_UP_S = 1.2, 0.3
_BUDGET_S = 2.5  # to measure a budget under one condition
# Nothing else is on a device of its own: what lanes do to each other is measured by admissions, and
# a busy host would delay the threads that wait for it, which nothing here does.
_ON_A_DEVICE = (Condition(),)
_ON_CORES = (Condition(), Condition(stress=Stress.MEMORY), Condition(cache=Cache.COLD))


def run_at(
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
    ways = [way for way in IN_ORDER if way in options.ways and (place.share or way != SHARES)]
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
        in_time = replace(bench, choose_s=min(options.choose_seconds, report.left_s()))
        with report.part(title), opened(in_time, arm, plan.tasks) as way:
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
    if not report.late(f"{place.title}: beside loads"):
        with report.part(f"{place.title}: beside loads"):
            shared += beside_loads(bench, few, options.runs, alone=shared)
    # The control knows the whole GPU only.
    divided = place.share and place.name == "whole"
    if divided and not report.late(f"{place.title}: divided"):
        with report.part(f"{place.title}: divided"):
            shared += contention(bench, few, options.runs, place.share, alone=shared)
    for name, network in cut.items():
        if not report.late(f"{place.title}: segments of {name}"):
            with report.part(f"{place.title}: segments of {name}"):
                costs |= segment_cost(bench, {name: network})
