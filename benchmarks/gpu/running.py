"""Runs the parts of the benchmark one after the other, each of which may fail or have no time."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aegis_ros.wcet import Cache, Condition, Stress
from benchmarks.compare.plan import Planner
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm
from benchmarks.compare.workload import Task, Workload
from benchmarks.gpu.apart import Apart
from benchmarks.gpu.bench import AUTO, SOLO, Bench, Running, arm_of
from benchmarks.gpu.budgets import budget_row
from benchmarks.gpu.capacity import Probe, capacity
from benchmarks.gpu.goals import goals
from benchmarks.gpu.mix import LoadPlan, Mix
from benchmarks.gpu.order import PREPARE_S, Step
from benchmarks.gpu.place import Place
from benchmarks.gpu.report import Report
from benchmarks.gpu.ways import opened, round_of
from benchmarks.gpu.workload import workload
from benchmarks.progress import Shown

__all__ = ["Run"]

_PARTS = 8
_CORES_TO_SHARE_OUT = 8
_CUT = ("direction",)  # of which a segment's cost is looked at
_PROBE_S, _PROBE_WARM_UP_S = 1.2, 0.3
_BUDGET_S = 2.5  # to measure a budget under one condition
_CHOOSE_AGAIN_S = 8.0  # for further lanes at another load
_KEPT_S = 15.0  # of what is left, for what comes after lanes are chosen
_PACES = 0.6, 2.0  # how much sooner or later than expected the next part may end
# Nothing else is on a device of its own: what lanes do to each other is measured by admissions, and
# a busy host would delay the threads that wait for it, which nothing here does.
_ON_A_DEVICE = (Condition(),)
_ON_CORES = (Condition(), Condition(stress=Stress.MEMORY), Condition(cache=Cache.COLD))


class _Stand:
    """A place whose networks are built and measured.

    Args:
        place: where.
        ways: that run there.
        options: of the command line.
        report: gets what is known.
        state: folder of the orchestrator.
        folder: for configurations.
        shown: progress.
    """

    def __init__(
        self,
        place: Place,
        ways: Sequence[str],
        *,
        options: argparse.Namespace,
        report: Report,
        state: Path,
        folder: Path,
        shown: Shown,
    ) -> None:
        """Build and measure."""
        runs_on, cores, lane_cores = _workload(place, options)
        self.place = place
        self.facts: dict[str, Any] = {
            "title": place.title,
            "backend": place.backend,
            "scale": place.scale,
            "copies": place.copies,
        }
        self.results = report.places[place.name] = Results(
            runs_on, [], [arm_of(way) for way in ways], ways=ways, goals=goals, facts=self.facts
        )
        self.budgets: dict[str, dict[str, Any]] = {}
        self.facts |= {"budgets": self.budgets, "admissions": {}}
        cut = {}
        with Planner(
            runs_on,
            folder,
            state,
            runs=options.runs,
            progress=shown,
            conditions=_ON_CORES if place.on_cores else _ON_A_DEVICE,
            limit_s=_BUDGET_S,
        ) as planner:
            compiled = planner.compiled()
            for name in runs_on.networks:
                self.budgets[name] = budget_row(planner.profile(name))
            report.write()
            if place.name == "whole" and options.parts != ["ways"]:
                for name in _CUT:
                    with report.part(f"{name} in {_PARTS} segments"):
                        cut[name] = planner.in_segments(name, _PARTS)
        solo_ms = {name: row["alone_p50_ms"] for name, row in self.budgets.items()}
        self.mix = Mix(runs_on, solo_ms, place.copies)
        self.bench = Bench(runs_on, compiled, state, folder, cores, lane_cores, place.share)
        self.apart = Apart(self.bench, cut, place=place, runs=options.runs, facts=self.facts)

    @property
    def rate(self) -> float:
        """At which a stream a network begins to miss; 1 where that was not measured."""
        return float(self.facts.get("capacity", {}).get("rate", 1.0))

    def planned(self, load: float) -> LoadPlan:
        """Return what runs at a load, and note it."""
        tasks = self.mix.tasks(self.rate, load)
        budget_ms = {task.name: float(self.budgets[task.network]["budget_ms"]) for task in tasks}
        switch_ms = self.mix.workload.switch_ms
        plan = LoadPlan(
            load,
            tasks,
            1.0,
            budget_ms,
            dict.fromkeys(budget_ms, 1),
            sum((budget_ms[task.name] + switch_ms) / task.period_ms for task in tasks),
            rate=sum(self.mix.solo_ms[task.network] / task.period_ms for task in tasks),
            found="capacity" in self.facts,
        )
        self.results.plans[load] = plan
        return plan


class Run:
    """Runs parts for as long as there is time.

    Args:
        places: by name.
        ways: by name of a place.
        options: of the command line.
        report: gets what is known after each part.
        state: folder of the orchestrator.
        folder: for configurations.
        shown: progress.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        ways: Mapping[str, Sequence[str]],
        *,
        options: argparse.Namespace,
        report: Report,
        state: Path,
        folder: Path,
        shown: Shown,
    ) -> None:
        """Run nothing yet."""
        self._places = places
        self._ways = ways
        self._options = options
        self._report = report
        self._shown = shown
        self._folders = {"state": state, "folder": folder}
        self._stands: dict[str, _Stand | None] = {}
        self._expected_s = self._took_s = 0.0

    def all(self, steps: Sequence[Step]) -> None:
        """Run these parts; a person who presses Ctrl+C ends them, and what is known is kept."""
        for at, step in enumerate(steps):
            try:
                self._one(step)
            except KeyboardInterrupt:
                self._report.facts["no_time"] += [
                    f"{self._title(each)}: {why}"
                    for why, those in (
                        ("interrupted", steps[at : at + 1]),
                        ("not begun", steps[at + 1 :]),
                    )
                    for each in those
                ]
                self._report.write()
                return

    def _title(self, step: Step) -> str:
        return f"{self._places[step.place].title}: {step.title}"

    def _one(self, step: Step) -> None:
        """Run one part, if there is time, and its place first, if nothing ran there."""
        report = self._report
        expected_s = step.seconds
        if step.place not in self._stands:
            expected_s += PREPARE_S
        elif self._stands[step.place] is None:
            report.facts["failed"].append(f"{self._title(step)}: its networks were not built")
            return
        if report.late(self._title(step), expected_s * self._pace()):
            return
        begin = time.monotonic()
        self._shown.console.print(self._title(step))
        stand = self._stand(step.place)
        if stand is not None:
            self._of_kind(step, stand)
        self._expected_s += expected_s
        self._took_s += time.monotonic() - begin

    def _pace(self) -> float:
        """Return how much longer parts took so far than was expected."""
        least, most = _PACES
        return min(max(self._took_s / self._expected_s, least), most) if self._expected_s else 1.0

    def _stand(self, name: str) -> _Stand | None:
        if name not in self._stands:
            self._stands[name] = None
            place = self._places[name]
            with self._report.part(f"{place.title}: networks and budgets"):
                self._stands[name] = _Stand(
                    place,
                    self._ways[name],
                    options=self._options,
                    report=self._report,
                    shown=self._shown,
                    **self._folders,
                )
        return self._stands[name]

    def _of_kind(self, step: Step, stand: _Stand) -> None:
        if step.kind == "way":
            arm = arm_of(step.way)
            how = self._ours if arm.ours else self._usual
            with self._report.part(self._title(step)):
                how(stand, arm, step)
            return
        for what, measure in stand.apart.parts(step.kind):
            if not self._report.late(what):
                with self._report.part(what):
                    measure()

    def _usual(self, stand: _Stand, arm: Arm, step: Step) -> None:
        """Run a way that is started once for all loads; streams also say what the loads are of."""
        tasks = _each_once(stand, stand.mix.tasks(stand.rate), arm)
        with opened(stand.bench, arm, tasks) as way:
            if arm.way == "streams":
                rate, tried = capacity(partial(_probe, stand.bench, arm, way, mix=stand.mix))
                probes = [each.as_values() for each in tried]
                stand.facts["capacity"] = {"rate": rate, "probes": probes}
            for load in step.loads:
                self._round(stand, arm, way, stand.planned(load))

    def _ours(self, stand: _Stand, arm: Arm, step: Step) -> None:
        """Run one of the orchestrator's ways, which is started for each load."""
        left_s = self._report.left_s() - _KEPT_S
        choose_s = self._options.choose_seconds if step.first else _CHOOSE_AGAIN_S
        for load in step.loads:
            plan = stand.planned(load)
            bench = replace(stand.bench, choose_s=max(0.0, min(choose_s, left_s)))
            with opened(bench if arm.name == AUTO else stand.bench, arm, plan.tasks) as way:
                said = stand.facts["admissions"].setdefault(arm.name, {})
                said[f"{load:g}"] = way.answers
                self._round(stand, arm, way, plan)

    def _round(self, stand: _Stand, arm: Arm, way: Running, plan: LoadPlan) -> None:
        item = round_of(
            stand.bench,
            arm,
            way,
            load=plan.load,
            number=0,
            tasks=_each_once(stand, plan.tasks, arm),
            seconds=self._options.seconds,
        )
        stand.results.rounds.append(item)
        self._report.write()


def _each_once(stand: _Stand, tasks: Sequence[Task], arm: Arm) -> Sequence[Task]:
    """Return one task a network where each runs alone, and all of them elsewhere."""
    if arm.way != SOLO:
        return tasks
    return [task for task in tasks if task.name in stand.bench.workload.networks]


def _workload(
    place: Place, options: argparse.Namespace
) -> tuple[Workload, tuple[int, ...], tuple[int, ...]]:
    """Return what runs, the cores of the cameras, and those of the lanes."""
    cores = sorted(os.sched_getaffinity(0))
    core: int | None
    if place.on_cores:
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
    jitter_ms = 2.0 if place.on_cores else 1.0
    return replace(workload(device, core, place.scale), jitter_ms=jitter_ms), cameras, lanes


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
