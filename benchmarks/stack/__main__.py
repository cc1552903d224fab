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
import os
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import rclpy
from rclpy.signals import SignalHandlerOptions
from rich.console import Console
from rich.progress import Progress

from aegis_ros.nodes.resources import fastdds_profile
from benchmarks.compare.figures import goals
from benchmarks.compare.models import URGENT
from benchmarks.compare.plan import Plan, Planner
from benchmarks.compare.results import Results, write_figures
from benchmarks.compare.rounds import Arm, in_turn
from benchmarks.report import parser
from benchmarks.stack.arms import Listener, one_round
from benchmarks.stack.dispatch import dispatch_lateness, show_dispatch
from benchmarks.stack.workload import WORKLOAD

_PACKAGE = "benchmarks.stack"
_TITLE = "The same networks on one core in these ways"

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


def _arms(ways: Sequence[str], floor: bool, trace: bool, keep: bool) -> list[Arm]:
    arms = [Arm(way, WAYS[way], way) for way in ways]
    if "aegis" in ways and floor:
        latency_ms = WORKLOAD.networks[URGENT].deadline_ms - WORKLOAD.publish_ms
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
    here = [arm for arm in arms if arm.name not in only_there or load == WORKLOAD.provable]
    return in_turn(here, number)


def _end(signal_number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    arguments = parser(_PACKAGE, __doc__)
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
            if options.json is not None:
                write_figures(_PACKAGE, options.json, figures)
            return
        with Planner(WORKLOAD, folder, state, options.runs, progress) as planner:
            plans = [planner.plan(load) for load in options.loads]
            files, budgets = planner.files(), planner.budgets_ms()
        planner.tell(progress.console)
        for plan in plans:
            progress.console.print(f"{plan.load:.0%}: {plan.told()}")
        floor = not options.no_floor and WORKLOAD.provable in options.loads
        arms = _arms(options.ways, floor, options.trace, options.keep_traces)
        facts = {
            "budgets_ms": budgets,
            "runs": options.runs,
            "measured_anew": planner.anew,
        }
        results = Results(WORKLOAD, plans, arms, list(WAYS), goals, facts)
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        listener = Listener([*WORKLOAD.networks, *WORKLOAD.extras])
        with contextlib.suppress(KeyboardInterrupt):
            _rounds(options, plans, arms, results, files, folder, state, listener, progress)
        rclpy.try_shutdown()
        results.write(_PACKAGE, options.json, options.plot, _TITLE)
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
        results.write(_PACKAGE, options.json, options.plot, _TITLE)
        progress.advance(row)
        if ended:
            raise KeyboardInterrupt


if __name__ == "__main__":
    main()
