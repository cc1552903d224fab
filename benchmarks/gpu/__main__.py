"""Runs five networks on one GPU in four ways, in turns, and counts who is late; needs no ROS.

Ways: a process a network, a stream a network, one queue, and the orchestrator. All run the same
compiled networks through this package's engine, so that only who runs when differs. The load is the
share of the GPU that measured budgets take; beyond 100 %, low tasks are added to what is proven at
80 %. Before that: what a segment more and what a job costs, and how much longer a network takes
beside another one, on two lanes and on divided multiprocessors.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from aegis_ros.backends import CompiledNetwork, backend_names, create_backend
from aegis_ros.errors import AegisError
from benchmarks.compare.plan import Planner
from benchmarks.compare.results import Results
from benchmarks.compare.rounds import Arm, in_turn
from benchmarks.gpu.device import contention, segment_cost
from benchmarks.gpu.goals import goals
from benchmarks.gpu.waiting import job_costs, show_job_costs
from benchmarks.gpu.ways import WAYS, Bench, one_round
from benchmarks.gpu.workload import workload
from benchmarks.report import parser, publish, table

_PACKAGE = "benchmarks.gpu"
_TITLE = "The same networks on one device in these ways"
_PARTS = 8
_GOAL_US = 50.0
_EXAMPLES = """
examples:
  python -m benchmarks.gpu --json gpu.json --plot gpu.png
      TensorRT; some minutes, of which most build engines the first time
  python -m benchmarks.gpu --sms 8 --scale 2
      larger frames, and the GPU divided: 8 multiprocessors and the rest
  python -m benchmarks.gpu --backend onnxruntime_cuda
      ONNX Runtime on CUDA streams, where TensorRT is not to be had
  python -m benchmarks.gpu --backend onnxruntime --seconds 5 --runs 100
      the same on a processor core: shows that the benchmark works, and says nothing of a GPU
"""


def main() -> None:
    """Run everything; tables to the terminal, figures and picture to files."""
    options = _options()
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
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        state = options.state or Path(temporary) / "state"
        folder = state / "run"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            named = create_backend(options.backend).device_name()
        except AegisError as error:
            raise SystemExit(str(error)) from error
        arms = [Arm(way, WAYS[way], way) for way in options.ways]
        facts: dict[str, Any] = {
            "device": named,
            "date": time.strftime("%Y-%m-%d"),
            "runs": options.runs,
            "failed": [],
        }
        results = Results(runs_on, [], arms, ways=options.ways, goals=goals, facts=facts)
        report = Report(facts, results, options.json, options.plot)
        with Planner(runs_on, folder, state, runs=options.runs, progress=progress) as planner:
            facts["measured_anew"] = planner.anew
            cut: dict[str, CompiledNetwork] = {}
            for load in options.loads:
                with report.part(f"a plan for {load:.0%}"):
                    results.plans[load] = planner.plan(load)
                    progress.console.print(f"{load:.0%}: {results.plans[load].sentence()}")
            compiled = planner.compiled()
            for name in runs_on.networks:
                with report.part(f"{name} in {_PARTS} segments"):
                    cut[name] = planner.in_segments(name, _PARTS)
            facts["budgets_ms"] = planner.budgets_ms()
        planner.tell(progress.console)
        bench = Bench(runs_on, compiled, state, folder, tuple(cores))
        costs: dict[str, dict[str, Any]] = {}
        facts["between_segments_us"] = costs
        for name, network in cut.items():
            with report.part(f"segments of {name}"):
                costs |= segment_cost(bench, {name: network})
        facts["job_costs"] = []
        for what, measured in job_costs(bench, compiled, cut, options.rounds):
            with report.part(what):
                facts["job_costs"] += measured()
        shared: list[dict[str, Any]] = []
        facts["contention"] = shared
        with report.part("contention"):
            shared += contention(bench, compiled, options.runs)
        if options.sms:
            with report.part("contention on divided multiprocessors"):
                shared += contention(bench, compiled, options.runs, options.sms, alone=shared)
        with contextlib.suppress(KeyboardInterrupt):
            _rounds(options, bench, arms=arms, results=results, report=report, progress=progress)
    results.show()
    _show(named, costs, shared)
    show_job_costs(_console(), facts["job_costs"])
    for line in facts["failed"]:
        print(f"left out, because it failed: {line}")


class Report:
    """Writes what is known after each part of the benchmark, and notes the parts that fail.

    Args:
        facts: where they are noted, under ``failed``.
        results: of the rounds.
        json: file for figures.
        plot: file for the picture.
    """

    def __init__(
        self, facts: dict[str, Any], results: Results, json: Path | None, plot: Path | None
    ) -> None:
        """Write nothing yet."""
        self._facts = facts
        self._results = results
        self._json = json
        self._plot = plot

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Do one part; whatever it raises costs this part alone."""
        try:
            yield
        except (Exception, SystemExit) as error:
            self._facts["failed"].append(f"{name}: {type(error).__name__}: {error}"[:500])
        if self._results.rounds:
            self._results.write(_PACKAGE, self._json, None, _TITLE)
        else:
            publish(_PACKAGE, self._json, [], self._facts)

    def draw(self) -> None:
        """Write figures and picture."""
        self._results.write(_PACKAGE, self._json, self._plot, _TITLE)


def _options() -> argparse.Namespace:
    arguments = parser(_PACKAGE, __doc__)
    arguments.epilog = _EXAMPLES
    arguments.add_argument(
        "--backend", default="tensorrt", choices=sorted({*backend_names()} - {"simulated"})
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
    return arguments.parse_args()


def _rounds(
    options: argparse.Namespace,
    bench: Bench,
    *,
    arms: Sequence[Arm],
    results: Results,
    report: Report,
    progress: Progress,
) -> None:
    turns = [
        (number, plan, arm)
        for number in range(options.rounds)
        for plan in results.plans.values()
        for arm in in_turn(arms, number)
    ]
    row = progress.add_task("", total=len(turns))
    for number, plan, arm in turns:
        what = f"round {number + 1}, {plan.load:.0%}: {arm.label}"
        progress.update(row, description=what)
        with report.part(what):
            results.rounds.append(
                one_round(
                    bench,
                    arm,
                    load=plan.load,
                    number=number,
                    tasks=plan.tasks,
                    seconds=options.seconds,
                )
            )
        progress.advance(row)
    report.draw()


def _show(
    named: str, costs: Mapping[str, Mapping[str, Any]], shared: Sequence[Mapping[str, Any]]
) -> None:
    console = _console()
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


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=150, no_color=True)


if __name__ == "__main__":
    main()
