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

from benchmarks.compare.figures import goals
from benchmarks.compare.models import URGENT
from benchmarks.compare.plan import Plan, Planner
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm, in_turn
from benchmarks.compare.workload import Workload
from benchmarks.domain import own_domain
from benchmarks.middleware import use_profile
from benchmarks.progress import Shown, progress
from benchmarks.report import parser, publish, read_options
from benchmarks.stack.arms import Listener, Stage, one_round
from benchmarks.stack.dispatch import dispatch_lateness, dispatch_rows, show_dispatch
from benchmarks.stack.transport import seen_transport_ms
from benchmarks.stack.workload import WORKLOAD
from benchmarks.transport import declared_jitter_ms

_PACKAGE = "benchmarks.stack"
_QUICK = {
    "loads": [1.3],
    "rounds": 1,
    "seconds": 8.0,
    "runs": 100,
    "measure_seconds": 1.0,
    "no_floor": True,
}
_LOOK_S = 3.0
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
  python -m benchmarks.stack --quick --state /tmp/stack
      a first look; what was measured is kept for the next run

Ctrl-C and SIGTERM keep what is done: tables, figures and picture of the rounds so far. The files
are written anew after every round.
"""


def _arms(
    ways: Sequence[str], *, floor: bool, trace: bool, keep: bool, latency_ms: float
) -> list[Arm]:
    arms = [Arm(way, WAYS[way], way) for way in ways]
    if "aegis" in ways and floor:
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
        "--measure-seconds",
        type=float,
        help="at most, for each condition under which a budget is measured (no limit)",
    )
    arguments.add_argument(
        "--trace", action="store_true", help="also run the orchestrator with a trace, in turns"
    )
    arguments.add_argument(
        "--keep-traces",
        action="store_true",
        help="trace every round of the orchestrator, and keep the files in "
        "nodes/orchestrator/traces of --state",
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
    options = read_options(arguments, _QUICK)
    if options.keep_traces and (options.trace or not options.state or "aegis" not in options.ways):
        arguments.error("--keep-traces needs --state and the way aegis, and excludes --trace")
    os.environ["ROS_DOMAIN_ID"] = str(own_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    use_profile()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    with tempfile.TemporaryDirectory() as temporary, progress() as shown:
        state = options.state or Path(temporary) / "state"
        folder = state / "run"  # configurations and what the processes say
        folder.mkdir(parents=True, exist_ok=True)
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        runs_on = _fitted(folder, shown)
        if options.dispatch:
            figures = dispatch_lateness(
                runs_on, folder, state, seconds=options.seconds, rounds=options.rounds, shown=shown
            )
            rclpy.try_shutdown()
            show_dispatch(figures)
            publish(_PACKAGE, options.json, dispatch_rows(figures), figures)
            return
        results = _compared(options, runs_on, folder=folder, state=state, shown=shown)
        rclpy.try_shutdown()
        results.write(_PACKAGE, options.json, options.plot, _TITLE)
    results.show()


def _fitted(folder: Path, shown: Shown) -> Workload:
    """Return the workload with the jitter that images have on this machine."""
    row = shown.add_task("how long images travel")
    jitter_ms = declared_jitter_ms(seen_transport_ms(folder, _LOOK_S), WORKLOAD.jitter_ms)
    if jitter_ms > WORKLOAD.jitter_ms:
        shown.console.print(f"images are slow here: a jitter of {jitter_ms:g} ms is declared")
    shown.remove_task(row)
    return replace(WORKLOAD, jitter_ms=jitter_ms)


def _compared(
    options: Any, runs_on: Workload, *, folder: Path, state: Path, shown: Shown
) -> Results:
    """Plan all loads, run all turns, and return what they come to."""
    planner = Planner(
        runs_on, folder, state, runs=options.runs, progress=shown, limit_s=options.measure_seconds
    )
    with planner:
        plans = [planner.plan(load) for load in options.loads]
        files, budgets = planner.files(), planner.budgets_ms()
    planner.tell(shown.console)
    for plan in plans:
        shown.console.print(f"{plan.load:.0%}: {plan.sentence()}")
    floor = not options.no_floor and runs_on.provable in options.loads
    urgent = next(
        (task for plan in plans for task in plan.tasks if task.name == URGENT), plans[0].tasks[0]
    )
    latency_ms = urgent.deadline_ms - runs_on.publish_ms
    arms = _arms(
        options.ways,
        floor=floor,
        trace=options.trace,
        keep=options.keep_traces,
        latency_ms=latency_ms,
    )
    facts = {
        "budgets_ms": budgets,
        "runs": options.runs,
        "measured_anew": planner.anew,
    }
    results = Results(runs_on, plans, arms, ways=list(WAYS), goals=goals, facts=facts)
    listener = Listener([*runs_on.networks, *runs_on.extras])
    stage = Stage(runs_on, files, folder, state, listener)
    with contextlib.suppress(KeyboardInterrupt):
        _rounds(options, stage, plans=plans, arms=arms, results=results, shown=shown)
    return results


def _rounds(
    options: Any,
    stage: Stage,
    *,
    plans: Sequence[Plan],
    arms: Sequence[Arm],
    results: Results,
    shown: Shown,
) -> None:
    turns = [
        (number, plan, arm)
        for number in range(options.rounds)
        for plan in plans
        for arm in _turn(arms, plan.load, number)
    ]
    row = shown.add_task("rounds", total=len(turns))
    for number, plan, arm in turns:
        seconds = options.seconds
        if arm.name == "aegis" and options.aegis_seconds:
            seconds = options.aegis_seconds
        shown.update(row, description=f"round {number + 1}, {plan.load:.0%}: {arm.label}")
        tasks = [task for task in plan.tasks if arm.only in ("", task.name)]
        item, ended = one_round(
            stage, arm, load=plan.load, number=number, tasks=tasks, seconds=seconds
        )
        results.rounds.append(item)
        results.write(_PACKAGE, options.json, options.plot, _TITLE)
        shown.advance(row)
        if ended:
            raise KeyboardInterrupt


if __name__ == "__main__":
    main()
