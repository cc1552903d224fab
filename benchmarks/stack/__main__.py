"""Runs the same networks in four ways, in turns, and counts who is late.

Ways: a rclpy node for each network, a thread for each, one first-come-first-served queue, and the
orchestrator. All run the same fused networks, bit for bit, on one pinned core, on the same images
from another process; the orchestrator cuts the large ones into segments. The load is the share of
that core that measured budgets take; beyond 100 %, low tasks are added to what is proven at 80 %.

At 80 %, the most urgent network also runs alone, in a node and in the orchestrator: how much its
response varies there is the floor of this machine. The orchestrator also takes a turn there in
which it publishes that network's results at a constant latency.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import rclpy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import Progress

from aegis_ros.nodes.resources import fastdds_profile
from benchmarks.report import machine, parser
from benchmarks.stack.arms import Arm, Listener, Round, as_values, one_round
from benchmarks.stack.dispatch import dispatch_lateness, show_dispatch
from benchmarks.stack.figures import goals, machine_row, ratios, task_row, tracing_row
from benchmarks.stack.picture import draw
from benchmarks.stack.plan import Plan, Planner
from benchmarks.stack.tables import show
from benchmarks.stack.workload import EXTRAS, NETWORKS, PROVABLE, PUBLISH_MS, URGENT, Task

WAYS = {
    "nodes": "a node a network",
    "threads": "a thread a network",
    "queue": "one queue",
    "aegis": "aegis_ros",
}
_EXAMPLES = """
examples:
  python -m benchmarks.stack --seconds 30 --aegis-seconds 120 --rounds 5 --plot stack.png
      all ways at all loads, five rounds; at least ten minutes of the orchestrator at each load
  python -m benchmarks.stack --ways aegis --loads 0.95 --aegis-seconds 3600 --rounds 1 --no-floor
      the orchestrator alone, for an hour
  python -m benchmarks.stack --ways aegis --loads 0.8 --trace --rounds 10
      what tracing costs: rounds with and without a trace, in turns
  python -m benchmarks.stack --dispatch --seconds 60 --rounds 1
      how late jobs are started while three 720p cameras send
  python -m benchmarks.stack --seconds 5 --rounds 1 --runs 100 --state /tmp/stack
      a first look; what was measured is kept for the next run

Ctrl-C and SIGTERM keep what is done: tables, figures and picture of the rounds so far. The files
are written anew after every round.
"""


class Results:
    """The rounds so far, and what they come to."""

    def __init__(self, plans: Sequence[Plan], arms: Sequence[Arm], facts: dict[str, Any]) -> None:
        """Begin without rounds."""
        self.plans = {plan.load: plan for plan in plans}
        self._labels = {arm.name: arm.label for arm in arms}
        self._facts = facts
        self.rounds: list[Round] = []

    def _of(self, load: float, arm: str) -> list[Round]:
        return [item for item in self.rounds if item.load == load and item.arm == arm]

    def _tasks(self, load: float, arm: str) -> list[Task]:
        found = self._of(load, arm)
        return [task for task in self.plans[load].tasks if found and task.name in found[0].tasks]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return all figures by load."""
        found: dict[str, dict[str, Any]] = {}
        for load, plan in self.plans.items():
            arms = [arm for arm in self._labels if self._of(load, arm)]
            if not arms:
                continue
            one = found[f"{load:g}"] = {
                "plan": {
                    "told": plan.told(),
                    "stretch": plan.stretch,
                    "utilization": plan.utilization,
                    "budget_ms": dict(plan.budget_ms),
                    "segments": dict(plan.segments),
                    "tasks": [task.as_values() for task in plan.tasks],
                },
                "rows": {
                    arm: {
                        task.name: task_row(
                            task, [item.tasks[task.name] for item in self._of(load, arm)]
                        )
                        for task in self._tasks(load, arm)
                    }
                    for arm in arms
                },
                "machine": {arm: machine_row(self._of(load, arm)) for arm in arms},
                "told_by_rule": self._reasons(load),
                "thinned": {
                    task: sentence
                    for item in self._of(load, "aegis")
                    for task, sentence in item.paces.items()
                },
            }
            plain, traced = self._of(load, "aegis"), self._of(load, "aegis_traced")
            one["tracing"] = tracing_row(plain, traced, plan.tasks)
        return found

    def _reasons(self, load: float) -> dict[str, dict[str, int]]:
        total: dict[str, dict[str, int]] = {}
        for item in self._of(load, "aegis"):
            for task, rules in item.reasons.items():
                mine = total.setdefault(task, {})
                for rule, count in rules.items():
                    mine[rule] = mine.get(rule, 0) + count
        return total

    def samples(self) -> dict[tuple[float, str, str], npt.NDArray[np.float64]]:
        """Return response over deadline by load, arm and task."""
        return {
            (load, arm, task.name): ratios(
                [item.tasks[task.name] for item in self._of(load, arm)], task.deadline_ms
            )
            for load in self.plans
            for arm in self._labels
            for task in self._tasks(load, arm)
        }

    def write(self, json_path: Path | None, plot: Path | None) -> None:
        """Write figures and picture anew."""
        if not self.rounds:
            return
        summary = self.summary()
        if json_path is not None:
            values = {
                **self._facts,
                "loads": summary,
                "goals": [
                    {"goal": what, "reached": reached, "met": bool(met)}
                    for what, reached, met in goals(summary)
                ],
                "rounds": [
                    as_values(item)
                    | {
                        "tasks": {
                            task.name: task_row(task, [item.tasks[task.name]])
                            for task in self._tasks(item.load, item.arm)
                        },
                        "machine": machine_row([item]),
                    }
                    for item in self.rounds
                ],
            }
            _write(json_path, values)
        if plot is not None:
            loads = {float(load): one for load, one in summary.items()}
            ways = {
                way: label
                for way, label in WAYS.items()
                if any(way in one["rows"] for one in loads.values())
            }
            title = (
                "The same networks on one core in these ways, at loads of "
                f"{', '.join(f'{load:.0%}' for load in loads)} of it"
            )
            draw(plot, loads, self.samples(), ways, title)

    def show(self) -> None:
        """Print the tables."""
        if self.rounds:
            show(self.summary(), self._labels)


def _write(path: Path | None, values: dict[str, Any]) -> None:
    if path is None:
        return
    command = " ".join(["python -m benchmarks.stack", *sys.argv[1:]])
    fresh = path.with_name(path.name + ".new")  # whoever reads meanwhile sees a whole file
    fresh.write_text(json.dumps({"command": command, "machine": machine(), **values}, indent=1))
    fresh.replace(path)


def _arms(ways: Sequence[str], floor: bool, trace: bool, keep: bool) -> list[Arm]:
    arms = [Arm(way, WAYS[way], way) for way in ways]
    if "aegis" in ways and floor:
        latency_ms = NETWORKS[URGENT].deadline_ms - PUBLISH_MS
        label = f"aegis_ros, {URGENT} at {latency_ms:g} ms"
        arms.append(Arm("aegis_constant", label, "aegis", latency_ms=latency_ms))
    if floor:
        arms.append(Arm("alone_node", f"{URGENT} alone, a node", "nodes", only=URGENT))
        if "aegis" in ways:
            arms.append(Arm("alone_aegis", f"{URGENT} alone, aegis_ros", "aegis", only=URGENT))
    if trace:
        arms.append(Arm("aegis_traced", "aegis_ros, traced", "aegis", trace=True))
    return [replace(arm, trace=arm.ours) for arm in arms] if keep else arms


def _turn(arms: Sequence[Arm], load: float, number: int) -> list[Arm]:
    """Return who takes a turn at this load in this round, each time another one first."""
    only_there = ("alone_node", "alone_aegis", "aegis_constant")
    here = [arm for arm in arms if arm.name not in only_there or load == PROVABLE]
    first = number % len(here)
    return here[first:] + here[:first]


def _end(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    arguments = parser("benchmarks.stack", __doc__)
    arguments.epilog = _EXAMPLES
    arguments.add_argument("--loads", type=float, nargs="+", default=[0.6, 0.8, 0.95, 1.3])
    arguments.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    arguments.add_argument("--rounds", type=int, default=2, help="of each way at each load (2)")
    arguments.add_argument("--seconds", type=float, default=30.0, help="of each round (30)")
    arguments.add_argument(
        "--aegis-seconds", type=float, help="of each round of the orchestrator (as --seconds)"
    )
    arguments.add_argument("--runs", type=int, default=500, help="to measure each budget (500)")
    arguments.add_argument(
        "--trace", action="store_true", help="also run the orchestrator with a trace, in turns"
    )
    arguments.add_argument(
        "--keep-traces",
        action="store_true",
        help="trace every round of the orchestrator, and keep the files in traces/ of --state",
    )
    arguments.add_argument(
        "--no-floor", action="store_true", help=f"leave out {URGENT} alone and at constant latency"
    )
    arguments.add_argument("--state", type=Path, help="folder that keeps profiles between runs")
    arguments.add_argument("--plot", type=Path, help="also draw the figures to this file")
    arguments.add_argument(
        "--dispatch",
        action="store_true",
        help="only time how late the engine starts a job while three 720p cameras send at 20 Hz",
    )
    options = arguments.parse_args()
    if options.keep_traces and (options.trace or not options.state or "aegis" not in options.ways):
        arguments.error("--keep-traces needs --state and the way aegis, and excludes --trace")
    os.environ["ROS_DOMAIN_ID"] = str(50 + os.getpid() % 50)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(fastdds_profile())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    with (
        tempfile.TemporaryDirectory() as temporary,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        state = options.state or Path(temporary) / "state"
        folder = state / "run"  # configurations and what the processes say
        folder.mkdir(parents=True, exist_ok=True)
        if options.dispatch:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            figures = dispatch_lateness(folder, state, options.seconds, options.rounds)
            rclpy.try_shutdown()
            show_dispatch(figures)
            _write(options.json, figures)
            return
        with Planner(folder, state, options.runs, progress) as planner:
            plans = [planner.plan(load) for load in options.loads]
            files, budgets = planner.files(), planner.budgets_ms()
        for plan in plans:
            progress.console.print(f"{plan.load:.0%}: {plan.told()}")
        floor = not options.no_floor and PROVABLE in options.loads
        arms = _arms(options.ways, floor, options.trace, options.keep_traces)
        results = Results(plans, arms, {"budgets_ms": budgets, "runs": options.runs})
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        listener = Listener([*NETWORKS, *EXTRAS])
        with contextlib.suppress(KeyboardInterrupt):
            _rounds(options, plans, arms, results, files, folder, state, listener, progress)
        rclpy.try_shutdown()
        results.write(options.json, options.plot)
    results.show()


def _rounds(
    options: Any,
    plans: Sequence[Plan],
    arms: Sequence[Arm],
    results: Results,
    files: dict[str, str],
    folder: Path,
    state: Path,
    listener: Listener,
    progress: Progress,
) -> None:
    turns = [
        (number, plan, arm)
        for number in range(options.rounds)
        for plan in plans
        for arm in _turn(arms, plan.load, number)
    ]
    row = progress.add_task("", total=len(turns))
    for number, plan, arm in turns:
        seconds = options.seconds
        if arm.name == "aegis" and options.aegis_seconds:
            seconds = options.aegis_seconds
        progress.update(row, description=f"round {number + 1}, {plan.load:.0%}: {arm.label}")
        tasks = [task for task in plan.tasks if arm.only in ("", task.name)]
        item, ended = one_round(
            arm, plan.load, number, tasks, files, folder, state, listener, seconds
        )
        results.rounds.append(item)
        results.write(options.json, options.plot)
        progress.advance(row)
        if ended:
            raise KeyboardInterrupt


if __name__ == "__main__":
    main()
