"""Runs five networks on one GPU in four ways, in turns, and counts who is late; needs no ROS.

Ways: a process a network, a stream a network, one queue, and the orchestrator. All run the same
compiled networks through this package's engine, so that only who runs when differs. The load is the
share of the GPU that measured budgets take; beyond 100 %, low tasks are added to what is proven at
80 %. Before that: what a segment more costs, and how much longer a network takes beside another
one, on two lanes and on divided multiprocessors.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from aegis_ros.backends import backend_names, create_backend
from aegis_ros.errors import AegisError
from benchmarks.compare.plan import Plan, Planner
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm, in_turn
from benchmarks.gpu.device import contention, segment_cost
from benchmarks.gpu.goals import goals
from benchmarks.gpu.plugin import TORCH, offered_here
from benchmarks.gpu.ways import WAYS, Bench, one_round
from benchmarks.gpu.workload import workload
from benchmarks.report import parser, table

_PACKAGE = "benchmarks.gpu"
_TITLE = "The same networks on one device in these ways"
_PARTS = 8
_GOAL_US = 50.0
_EXAMPLES = f"""
examples:
  python -m benchmarks.gpu --json gpu.json --plot gpu.png
      TensorRT; some minutes, of which most build engines the first time
  python -m benchmarks.gpu --sms 8 --scale 2
      larger frames, and the GPU divided: 8 multiprocessors and the rest
  python -m benchmarks.gpu --backend {TORCH}
      PyTorch and CUDA graphs, where TensorRT is not to be had
  python -m benchmarks.gpu --backend onnxruntime --seconds 5 --runs 100
      the same on a processor core: shows that the benchmark works, and says nothing of a GPU
"""


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    arguments = parser(_PACKAGE, __doc__)
    arguments.epilog = _EXAMPLES
    arguments.add_argument(
        "--backend", default="tensorrt", choices=sorted({*backend_names(), TORCH} - {"simulated"})
    )
    arguments.add_argument("--loads", type=float, nargs="+", default=[0.6, 0.8, 0.95, 1.3])
    arguments.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    arguments.add_argument("--rounds", type=int, default=2, help="of each way at each load (2)")
    arguments.add_argument("--seconds", type=float, default=10.0, help="of each round (10)")
    arguments.add_argument("--runs", type=int, default=1000, help="to measure each budget (1000)")
    arguments.add_argument("--scale", type=int, default=1, help="of the large networks' frames (1)")
    arguments.add_argument("--switch-ms", type=float, default=0.2, help="cost of a segment (0.2)")
    arguments.add_argument("--sms", type=int, help="multiprocessors of the first of two lanes")
    arguments.add_argument("--state", type=Path, help="folder that keeps engines and profiles")
    arguments.add_argument("--plot", type=Path, help="also draw the figures to this file")
    options = arguments.parse_args()
    core = None
    cores = sorted(os.sched_getaffinity(0))
    if options.backend == "onnxruntime":
        core = cores[-1]
        cores.remove(core)
    device: dict[str, Any] = {
        "backend": options.backend,
        "lanes": [{"name": "main", "cpu": core}],
        "arena_mib": 16384,
        "switch_ms": options.switch_ms,
    }
    runs_on = workload(device, core, options.scale)
    with (
        tempfile.TemporaryDirectory() as temporary,
        offered_here(Path(temporary)),
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        state = options.state or Path(temporary) / "state"
        folder = state / "run"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            named = create_backend(options.backend).device_name()
        except AegisError as error:
            raise SystemExit(str(error)) from error
        with Planner(runs_on, folder, state, options.runs, progress) as planner:
            plans = [planner.plan(load) for load in options.loads]
            compiled, budgets = planner.compiled(), planner.budgets_ms()
            cut = {name: planner.in_segments(name, _PARTS) for name in runs_on.networks}
        planner.tell(progress.console)
        for plan in plans:
            progress.console.print(f"{plan.load:.0%}: {plan.told()}")
        bench = Bench(runs_on, compiled, state, folder, tuple(cores))
        costs = segment_cost(bench, cut)
        shared = contention(bench, compiled, options.runs, options.sms)
        facts = {
            "device": named,
            "date": time.strftime("%Y-%m-%d"),
            "runs": options.runs,
            "budgets_ms": budgets,
            "measured_anew": planner.anew,
            "between_segments_us": costs,
            "contention": shared,
        }
        arms = [Arm(way, WAYS[way], way) for way in options.ways]
        results = Results(runs_on, plans, arms, options.ways, goals, facts)
        with contextlib.suppress(KeyboardInterrupt):
            _rounds(options, bench, plans, arms, results, progress)
        results.write(_PACKAGE, options.json, options.plot, _TITLE)
    results.show()
    _show(named, costs, shared)


def _rounds(
    options: Any,
    bench: Bench,
    plans: Sequence[Plan],
    arms: Sequence[Arm],
    results: Results,
    progress: Progress,
) -> None:
    turns = [
        (number, plan, arm)
        for number in range(options.rounds)
        for plan in plans
        for arm in in_turn(arms, number)
    ]
    row = progress.add_task("", total=len(turns))
    for number, plan, arm in turns:
        progress.update(row, description=f"round {number + 1}, {plan.load:.0%}: {arm.label}")
        results.rounds.append(one_round(bench, arm, plan.load, number, plan.tasks, options.seconds))
        results.write(_PACKAGE, options.json, options.plot, _TITLE)
        progress.advance(row)


def _show(
    named: str, costs: Mapping[str, Mapping[str, Any]], shared: Sequence[Mapping[str, Any]]
) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=150, no_color=True)
    shown = table(f"between two segments, us ({named})", "network", "in", "p50", "p99", "max", "")
    for name, row in costs.items():
        numbers = (f"{row[each]:.0f}" for each in ("p50", "p99", "max"))
        shown.add_row(name, str(row["segments"]), *numbers, str(row["note"]))
    console.print(shown)
    worst = max((row["p99"] for row in costs.values()), default=0.0)
    met = "yes" if worst <= _GOAL_US else "no"
    console.print(f"p99 of dispatch <= {_GOAL_US:.0f} us: {met} ({worst:.0f} us)")
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


if __name__ == "__main__":
    main()
