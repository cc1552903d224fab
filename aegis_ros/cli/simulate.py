"""`aegis simulate`: what becomes of the jobs of a set when its schedule is run."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from aegis_ros.analysis import AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.planning.answer import Answer, judge
from aegis_ros.planning.task_set import TaskSet, read_task_set
from aegis_ros.planning.workload import ARRIVALS, EXECUTIONS, make_workload
from aegis_ros.scheduling import ExecutionPlan
from aegis_ros.simulation import (
    GeneratorFigures,
    Outcome,
    SaturatedGenerator,
    TaskFigures,
    Workload,
    plan_of,
    simulate,
)
from aegis_ros.views.terminal import say, sheet, terminal, to_ms

__all__ = ["parse_duration_ns", "run"]

_MAX_JOBS = 5_000_000
_MAX_CRITICAL_JOBS = 200_000  # its pattern is made in plain Python
_SLOW_JOBS = 200_000  # about what is simulated in two seconds
_MANY_TASKS = 60
_GENERATORS = 1_000_000  # of seeds: beyond all lanes
_UNITS_NS = {"us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}


@dataclass(frozen=True, slots=True)
class _AskedFor:
    """The options that make a run what it is."""

    until_ns: int
    seed: int
    arrivals: str
    execution: str
    overrun: float


@dataclass(frozen=True)
class _Lane:
    """What was simulated on one lane."""

    name: str
    tasks: tuple[AnalysisTask, ...]
    outcome: Outcome
    figures: tuple[TaskFigures, ...]
    generators: tuple[GeneratorFigures, ...] = ()


def run(
    path: Path,
    *,
    duration: str,
    seed: int,
    arrivals: str,
    execution: str,
    form: str,
    plot: Path | None,
    state_dir: Path | None,
    overrun: float = 0.0,
) -> int:
    """Simulate and print the figures; return 0 where no job was late, 1 otherwise.

    Args:
        path: a bare set or an orchestrator's YAML.
        duration: as typed, such as ``10s``.
        seed: of all chance.
        arrivals: one of :data:`ARRIVALS`; empty for what the policy promises for.
        execution: one of :data:`EXECUTIONS`.
        form: ``text`` or ``json``.
        plot: also draw the timeline there.
        state_dir: of the orchestrator.
        overrun: probability that a job exceeds its budgets, of tasks that have high ones.

    Raises:
        ConfigError: what was asked for is not possible; the text says why.
    """
    until_ns = parse_duration_ns(duration)
    _require("--format", form, ("text", "json"))
    _require("--execution", execution, EXECUTIONS)
    if arrivals:
        _require("--arrivals", arrivals, ARRIVALS)
    if seed < 0:
        raise ConfigError(
            "the seed is negative", where="--seed", value=seed, expected="0 or a positive number"
        )
    if not 0.0 <= overrun <= 1.0:
        raise ConfigError("not a probability", where="--overrun", value=overrun, expected="0 to 1")
    if plot is not None:
        from aegis_ros.cli.picture import require_picture

        require_picture(plot)
    asked = read_task_set(path, state_dir)
    arrivals = arrivals or ("sporadic" if asked.policy == "edf" else "periodic")
    _require_few(asked, until_ns, arrivals)
    if execution == "profile" and not asked.samples_ns:
        raise ConfigError(
            "no measured execution times are known",
            where="--execution",
            value=execution,
            expected="an orchestrator's YAML with WCET profiles",
            hint=f"Measure them with `aegis profile {path}`, or use --execution uniform",
        )
    if overrun and not any(task.high_segments_ns for task in asked.tasks):
        raise ConfigError(
            "no task may exceed its budgets",
            where="--overrun",
            value=overrun,
            expected="a set in which a task has high_segments_ms",
        )
    answer = judge(asked, advise=False, share=False)
    asked_for = _AskedFor(until_ns, seed, arrivals, execution, overrun)
    lanes = _simulate(answer, asked_for, plot is not None)
    how = f"{arrivals} arrivals, seed {seed}"
    if overrun:
        how += f", {overrun:.3g} of the jobs that may exceed their budgets do"
    if form == "json":
        print(json.dumps(_as_json(answer, lanes, asked_for), indent=2))
    else:
        _print(terminal(), answer, lanes, f"{duration}, {how}")
    if plot is not None:
        _draw(answer, lanes, plot, how)
    return 1 if any(item.missed for lane in lanes for item in lane.figures) else 0


def parse_duration_ns(text: str) -> int:
    """Return nanoseconds of a duration such as ``10s``, ``250ms`` or ``1.5min``.

    Raises:
        ConfigError: it is not one.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h)\s*", text)
    value = round(float(found[1]) * _UNITS_NS[found[2]]) if found and len(text) < 40 else 0
    if not 1_000 <= value <= 24 * _UNITS_NS["h"]:
        raise ConfigError(
            "not a duration",
            where="--duration",
            value=text,
            expected="a number with a unit (us, ms, s, min, h), such as 10s, up to 24h",
        )
    return value


def _require(where: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(
            "not known", where=where, value=value, expected="one of " + ", ".join(known)
        )


def _require_few(asked: TaskSet, until_ns: int, arrivals: str) -> None:
    jobs = sum(until_ns // task.period_ns + 1 for task in asked.tasks)
    for each in asked.generators:  # it may run its shortest part all the time
        shortest = min(part for bucket in each.buckets for part in bucket.parts_ns)
        jobs += until_ns // (shortest + asked.switch_ns) + 1
    most = _MAX_CRITICAL_JOBS if arrivals == "critical" else _MAX_JOBS
    if jobs > most:
        possible_ns = until_ns * most // jobs
        raise ConfigError(
            f"that would be about {jobs:,} jobs",
            where="--duration",
            value=f"{until_ns / 1e9:g}s",
            expected=f"at most {most:,} jobs, here about {possible_ns / 1e9:.3g}s",
        )


def _simulate(answer: Answer, asked_for: _AskedFor, keep_runs: bool) -> tuple[_Lane, ...]:
    """Run all lanes together, under one scheduler."""
    names = [name for name in answer.asked.lanes if answer.on_lane(name)]
    planned: list[AnalysisTask] = []
    places: list[int] = []
    low: dict[int, ExecutionPlan] = {}
    together: Workload | None = None
    for place, name in enumerate(names):
        first = len(planned)
        workload = make_workload(
            answer,
            name,
            answer.on_lane(name),
            asked_for.until_ns,
            generator=np.random.default_rng([asked_for.seed, answer.asked.lanes.index(name)]),
            arrivals=asked_for.arrivals,
            execution=asked_for.execution,
            overrun=asked_for.overrun,
        )
        planned += answer.planned_on(name)
        places += [place] * (len(planned) - first)
        low |= {first + index: plan for index, plan in answer.low_plans(name).items()}
        together = workload if together is None else together.beside(workload, first)
    if together is None:
        return ()
    switch_ns = answer.asked.switch_ns
    plans = [plan_of(task, switch_ns) for task in planned]
    talking: dict[int, SaturatedGenerator] = {}
    for number, each in enumerate(answer.generators):
        if not each.admitted:
            continue
        made = each.saturated(
            switch_ns,
            until_ns=asked_for.until_ns,
            chance=np.random.default_rng([asked_for.seed, _GENERATORS, number]),
        )
        together = together.beside(made.workload(switch_ns), len(planned))
        talking[len(planned)] = made
        planned.append(made.task(switch_ns))
        plans.append(made.plan)
        places.append(names.index(each.generator.lane))
    speakers = {
        int(np.nonzero(together.task == index)[0][0]): made for index, made in talking.items()
    }
    with _progress(len(together)) as advance:
        outcome = simulate(
            planned,
            together,
            lanes=places,
            switch_ns=switch_ns,
            policy=answer.policy_on(names),
            plans=plans,
            low=low,
            outcome_of=lambda job, step, now_ns: (
                speakers[job].outcome(step, now_ns) if job in speakers else None
            ),
            keep_runs=keep_runs,
            progress=advance,
        )
    result = []
    for place, name in enumerate(names):
        own = outcome.on_lane(place)
        tasks = answer.on_lane(name)
        spoken = tuple(made.figures() for at, made in talking.items() if places[at] == place)
        # Generators are the last tasks of a lane.
        result.append(_Lane(name, tasks, own, tuple(own.figures()[: len(tasks)]), spoken))
    return tuple(result)


@contextmanager
def _progress(jobs: int) -> Any:
    """Show a bar on stderr while something slow runs, if somebody watches."""
    if jobs < _SLOW_JOBS or not sys.stderr.isatty():
        yield None
        return
    with Progress(
        TextColumn("simulating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("jobs"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=jobs)
        yield lambda done: bar.update(task, completed=done)


def _as_json(answer: Answer, lanes: Sequence[_Lane], asked_for: _AskedFor) -> dict[str, Any]:
    return {
        "missed": sum(item.missed for lane in lanes for item in lane.figures),
        "jobs": sum(item.jobs for lane in lanes for item in lane.figures),
        "schedulable": answer.schedulable,
        "policy": answer.asked.policy,
        "duration_ms": asked_for.until_ns / 1e6,
        "seed": asked_for.seed,
        "arrivals": asked_for.arrivals,
        "execution": asked_for.execution,
        "overrun": asked_for.overrun,
        "dropped": sum(item.skipped for lane in lanes for item in lane.figures),
        "lanes": [
            {
                "name": lane.name,
                "utilization": lane.outcome.utilization,
                "tasks": [
                    _task_json(answer, task, item)
                    for task, item in zip(lane.tasks, lane.figures, strict=True)
                ],
                "generators": [_generator_json(item) for item in lane.generators],
            }
            for lane in lanes
        ],
    }


def _task_json(answer: Answer, task: AnalysisTask, item: TaskFigures) -> dict[str, Any]:
    bound = answer.bound_of(item.name)
    return {
        "name": item.name,
        "jobs": item.jobs,
        "missed": item.missed,
        "dropped": item.skipped,
        "response_p50_ms": item.response_p50_ns / 1e6,
        "response_p99_ms": item.response_p99_ns / 1e6,
        "response_max_ms": item.response_max_ns / 1e6,
        "response_bound_ms": None if bound is None else bound.bound_ns / 1e6,
        "deadline_ms": task.deadline_ns / 1e6,
    }


def _generator_json(item: GeneratorFigures) -> dict[str, Any]:
    return {
        "name": item.name,
        "tokens": item.tokens,
        "tokens_per_s": item.tokens_per_s,
        "answered": item.answered,
        "first_token_p50_ms": item.first_p50_ns / 1e6,
        "first_token_max_ms": item.first_max_ns / 1e6,
    }


def _print(console: Console, answer: Answer, lanes: Sequence[_Lane], how: str) -> None:
    total = missed = dropped = 0
    for lane in lanes:
        drops = any(item.skipped for item in lane.figures)
        table = sheet(
            f"lane {escape(lane.name)}: busy {lane.outcome.utilization:.1%}"
            "[dim], response times in ms[/dim]",
            [
                ("task", "left"),
                ("jobs", "right"),
                ("missed", "right"),
                *([("dropped", "right")] if drops else []),
                ("p50", "right"),
                ("p99", "right"),
                ("max", "right"),
                ("bound", "right"),
                ("deadline", "right"),
            ],
        )
        rows = list(zip(lane.tasks, lane.figures, strict=True))
        total += sum(item.jobs for item in lane.figures)
        missed += sum(item.missed for item in lane.figures)
        dropped += sum(item.skipped for item in lane.figures)
        if len(rows) > _MANY_TASKS:
            rows.sort(key=lambda row: row[1].response_max_ns / row[0].deadline_ns, reverse=True)
        for task, item in rows[:_MANY_TASKS]:
            bound = answer.bound_of(task.name)
            table.add_row(
                Text(task.name),
                str(item.jobs),
                Text(str(item.missed), style="bold red" if item.missed else "green"),
                *([Text(str(item.skipped), style="yellow" if item.skipped else "")] * drops),
                *(
                    _response(value, task) if item.finished else "-"
                    for value in (item.response_p50_ns, item.response_p99_ns, item.response_max_ns)
                ),
                "-" if bound is None else to_ms(bound.bound_ns),
                "none" if task.best_effort else to_ms(task.deadline_ns),
            )
        console.print(table)
        if len(rows) > _MANY_TASKS:
            say(console, f"Shown are the {_MANY_TASKS} tightest of {len(rows)} tasks")
        for each in lane.generators:
            say(
                console,
                f"{each.name}, which always had requests, generated {each.tokens_per_s:.3g} tokens "
                f"a second in the slack and ended {each.answered:,} answers; the first token came "
                f"{to_ms(each.first_p50_ns)} ms (median) to {to_ms(each.first_max_ns)} ms after "
                "its request got a slot",
            )
    gone = f", {dropped:,} dropped" if dropped else ""
    say(
        console,
        f"Simulated {how}: {total:,} jobs, {missed:,} late{gone}",
        style="red" if missed else "",
    )
    for asked in answer.generators:
        if not asked.admitted:
            say(console, f"{asked.generator.name} is not admitted, and did not run (aegis check)")
    filling = sum(
        item.skipped
        for lane in lanes
        for task, item in zip(lane.tasks, lane.figures, strict=True)
        if task.best_effort
    )
    if dropped > filling:
        say(console, "Jobs below high criticality were dropped because a budget was exceeded")
    if filling:
        say(console, f"{filling:,} frames of best effort gave way to newer ones, or to overruns")
    if missed and answer.schedulable:
        say(console, "The set is schedulable only for arrivals that are strictly periodic and "
            "begin together")  # fmt: skip
    elif not missed and not answer.schedulable:
        say(
            console,
            "No job was late this time, but that is no proof: the test finds arrivals for which "
            "a deadline does not hold (aegis check shows them)",
        )
    elif missed:
        say(console, "The test agrees (aegis check says why)")
    else:
        say(console, "No job can be: the bounds hold for all arrivals that the test covers")


def _response(value_ns: int, task: AnalysisTask) -> Text:
    if task.best_effort:
        return Text(to_ms(value_ns))
    deadline_ns = task.deadline_ns
    style = "red" if value_ns > deadline_ns else "yellow" if value_ns > 0.9 * deadline_ns else ""
    return Text(to_ms(value_ns), style=style)


def _draw(answer: Answer, lanes: Sequence[_Lane], path: Path, how: str) -> None:
    from aegis_ros.cli.picture import draw_timeline

    shown = []
    for lane in lanes:
        late, jobs = int(lane.outcome.missed.sum()), len(lane.outcome.workload)
        busy = f"busy {lane.outcome.utilization:.1%}"
        dropped = int(lane.outcome.skipped.sum())
        gone = f", {dropped:,} dropped" if dropped else ""
        title = f"lane {lane.name}: {busy}, {late:,} of {jobs:,} jobs late{gone}"
        shown.append((title, lane.outcome))
    draw_timeline(f"Simulated under {answer.asked.policy}: {how}", shown, path)
