"""Runs the same networks in four ways, in turns, and counts who is late.

    python -m benchmarks.stack [--seconds 30] [--rounds 2] [--loads 0.6 0.8 0.95] [--plot FILE]

Ways: a rclpy node for each network, a thread for each, one first-come-first-served queue, and the
orchestrator. All run the same fused networks on one pinned core, on the same images from another
process. The load is the share of that core that the measured budgets take.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import rclpy
from aegis_ros.msg import InferenceResult, OrchestratorStatus
from rich.console import Console
from rich.progress import Progress

from aegis_ros.config import load_config
from aegis_ros.network import prepare, resolve_model
from aegis_ros.nodes.resources import fastdds_profile
from aegis_ros.nodes.spinning import spin_beside
from aegis_ros.orchestrator import Orchestrator
from aegis_ros.orchestrator.admission import max_shape
from benchmarks.report import parser, publish, table
from benchmarks.ros.__main__ import process, wait
from benchmarks.stack.workload import Task, configuration, tasks_at

WAYS = {
    "nodes": "a node for each network",
    "threads": "a thread for each network",
    "queue": "one queue, first come first served",
    "aegis": "aegis_ros",
}
_WARM_UP_S = 3.0
_COLOURS = {"nodes": "#9aa5b1", "threads": "#9aa5b1", "queue": "#9aa5b1", "aegis": "#1f77b4"}


@dataclass
class Found:
    """What one way did with one task at one load."""

    response_ms: list[float] = field(default_factory=list)
    execution_ms: list[float] = field(default_factory=list)
    expected: int = 0
    bound_ms: float = 0.0

    def add(self, other: Found) -> None:
        """Add another round."""
        self.response_ms += other.response_ms
        self.execution_ms += other.execution_ms
        self.expected += other.expected
        self.bound_ms = max(self.bound_ms, other.bound_ms)

    def row(self, deadline_ms: float) -> dict[str, float]:
        """Return the figures."""
        times = np.array(self.response_ms or [np.nan])
        missing = max(0, self.expected - len(self.response_ms))
        return {
            "frames": self.expected,
            "without_result": missing if missing > 2 else 0,  # the ends of a round are not sharp
            "late": int(np.sum(times > deadline_ms)),
            **{f"p{q}_ms": float(np.percentile(times, q)) for q in (50, 99, 99.9)},
            "max_ms": float(times.max()),
            "cv": float(times.std() / times.mean()),
            "execution_cv": float(np.std(self.execution_ms) / np.mean(self.execution_ms)),
            "deadline_ms": deadline_ms,
            "bound_ms": self.bound_ms,
        }


class Listener:
    """Hears the results of all tasks."""

    def __init__(self, names: list[str]) -> None:
        """Subscribe."""
        self.node = rclpy.create_node("listener")
        self.results: list[InferenceResult] = []
        self.status = OrchestratorStatus()
        for name in names:
            self.node.create_subscription(
                InferenceResult, f"/stack/{name}/result", self.results.append, 50
            )
        self.node.create_subscription(OrchestratorStatus, "/orchestrator/status", self._state, 1)
        spin_beside(self.node)

    def _state(self, message: OrchestratorStatus) -> None:
        self.status = message


def measure(folder: Path, runs: int, progress: Progress) -> tuple[dict[str, float], dict[str, str]]:
    """Return the budget of each network in milliseconds, and its fused file."""
    path = folder / "measure.yaml"
    path.write_text(json.dumps(configuration()))
    spec = load_config(path)
    state = folder / "state"
    budgets, files = {}, {}
    orchestrator = Orchestrator(
        replace(spec, tasks=()), state_dir=state, on_result=lambda _, result: result.release()
    )
    try:
        orchestrator.configure(admit=False)
        for task in spec.tasks:
            row = progress.add_task(f"measuring {task.name}", total=runs)

            def told(done: int, total: int, worst: int, row: Any = row) -> bool:
                progress.update(row, completed=done)
                return True

            outcome = orchestrator.profiler.profile(task, runs, told)
            if not outcome.success:
                raise SystemExit(outcome.rationale.sentence)
            budgets[task.name] = outcome.wcet_ns / 1e6
            files[task.name] = str(
                prepare(
                    resolve_model(task.model, ()),
                    task.preprocess,
                    max_shape=max_shape(task),
                    cache_dir=state / "cache",
                ).path
            )
    finally:
        orchestrator.cleanup()
    return budgets, files


@contextmanager
def running(
    way: str, tasks: list[Task], files: dict[str, str], folder: Path, listener: Listener
) -> Iterator[None]:
    """Run one way until the block is left."""
    values = [task.as_values() | {"path": files[task.name]} for task in tasks]
    log = folder / f"{way}.log"
    with ExitStack() as stack:
        if way == "aegis":
            config = folder / "stack.yaml"
            config.write_text(json.dumps(configuration(tasks)))
            listener.status = OrchestratorStatus()
            stack.enter_context(
                process(
                    log,
                    "aegis_ros.nodes.orchestrator_main",
                    *("--ros-args", "-p", f"config:={config}"),
                    *("-p", f"state_dir:={folder / 'state'}"),
                )
            )
            wait(lambda: listener.status.state == "active")
            admitted = {item.spec.name for item in listener.status.tasks}
            if admitted != {task.name for task in tasks}:
                raise SystemExit(f"only {sorted(admitted)} were admitted; see {log}")
        elif way == "nodes":
            for value in values:
                stack.enter_context(
                    process(log, "benchmarks.stack.usual", way, json.dumps([value]))
                )
        else:
            stack.enter_context(process(log, "benchmarks.stack.usual", way, json.dumps(values)))
        stack.enter_context(
            process(folder / "cameras.log", "benchmarks.stack.cameras", json.dumps(values))
        )
        names = {task.name for task in tasks}
        wait(lambda: {message.task for message in listener.results} == names)
        yield


def one_round(
    way: str,
    tasks: list[Task],
    files: dict[str, str],
    folder: Path,
    listener: Listener,
    seconds: float,
) -> dict[str, Found]:
    """Return what one way did in one round."""
    listener.results.clear()
    with running(way, tasks, files, folder, listener):
        time.sleep(_WARM_UP_S)
        listener.results.clear()
        time.sleep(seconds)
        heard = list(listener.results)
        bounds = {item.spec.name: item.response_bound_ms for item in listener.status.tasks}
    found = {}
    for task in tasks:
        timings = [message.timing for message in heard if message.task == task.name]
        found[task.name] = Found(
            [each.response_ms for each in timings],
            [each.execution_ms for each in timings],
            round(seconds * 1e3 / task.period_ms),
            bounds.get(task.name, 0.0) if way == "aegis" else 0.0,
        )
    return found


def draw(path: Path, results: dict[str, Any], found: dict[tuple[float, str, str], Found]) -> None:
    """Draw response times over the deadline: loads beside each other, ways below each other."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    loads = list(results)
    figure, axes = plt.subplots(
        1, len(loads), figsize=(4.6 * len(loads), 5.2), sharey=True, sharex=True, squeeze=False
    )
    for axis, load in zip(axes[0], loads, strict=True):
        rows = results[load]["rows"]
        names = list(rows["aegis"])
        for at, way in enumerate(WAYS):
            late = 0
            for index, name in enumerate(names):
                row = rows[way][name]
                ratio = np.array(found[float(load), way, name].response_ms) / row["deadline_ms"]
                y = at + (index - (len(names) - 1) / 2) * 0.15
                colour = _COLOURS[way]
                low, high = np.percentile(ratio, [1, 99])
                axis.plot([low, high], [y, y], color=colour, lw=5, solid_capstyle="butt")
                axis.plot(ratio.max(), y, "d", ms=5, color="#c0392b" if ratio.max() > 1 else colour)
                late += row["late"] + row["without_result"]
            total = sum(row["frames"] for row in rows[way].values())
            axis.text(
                0.98,
                at - 0.44,
                f"{late} of {total} late or without a result",
                ha="right",
                fontsize=8,
                color="#c0392b" if late else "#2e7d32",
                transform=axis.get_yaxis_transform(),
            )
        axis.axvline(1.0, color="#c0392b", lw=1.2)
        axis.set_xscale("log")
        axis.set_title(f"budgets take {float(load):.0%} of the core", fontsize=10)
        axis.set_xlabel("response time / deadline")
        axis.grid(axis="x", alpha=0.25)
    axes[0][0].set_yticks(range(len(WAYS)), list(WAYS.values()))
    axes[0][0].invert_yaxis()
    figure.suptitle(
        "Bars: 1st to 99th percentile of each network; diamonds: the slowest", fontsize=9
    )
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    """Run everything, print a table, write figures and picture."""
    arguments = parser("benchmarks.stack", __doc__)
    arguments.add_argument("--seconds", type=float, default=30.0, help="of each round")
    arguments.add_argument("--rounds", type=int, default=2, help="of each way at each load")
    arguments.add_argument("--runs", type=int, default=500, help="to measure each budget with")
    arguments.add_argument("--loads", type=float, nargs="+", default=[0.6, 0.8, 0.95])
    arguments.add_argument("--plot", type=Path, help="also draw the figures to this file")
    options = arguments.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(50 + os.getpid() % 50)
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(fastdds_profile())
    rclpy.init()
    results: dict[str, Any] = {}
    found: dict[tuple[float, str, str], Found] = {}
    with (
        tempfile.TemporaryDirectory() as temporary,
        Progress(console=Console(stderr=True)) as progress,
    ):
        folder = Path(temporary)
        budgets, files = measure(folder, options.runs, progress)
        listener = Listener(list(budgets))
        row = progress.add_task("", total=len(options.loads) * options.rounds * len(WAYS))
        for load in options.loads:
            tasks = tasks_at(load, budgets)
            for _ in range(options.rounds):
                for way in WAYS:
                    progress.update(row, description=f"{load:.0%}: {WAYS[way]}")
                    new = one_round(way, tasks, files, folder, listener, options.seconds)
                    for name, one in new.items():
                        found.setdefault((load, way, name), Found()).add(one)
                    progress.advance(row)
            results[str(load)] = {
                "tasks": [task.as_values() for task in tasks],
                "rows": {
                    way: {
                        task.name: found[load, way, task.name].row(task.deadline_ms)
                        for task in tasks
                    }
                    for way in WAYS
                },
            }
    rclpy.try_shutdown()
    show(results)
    if options.plot:
        draw(options.plot, results, found)
    publish("benchmarks.stack", {"budgets_ms": budgets, "loads": results}, options.json)


def show(results: dict[str, Any]) -> None:
    """Print one table a load."""
    console = Console()
    for load, result in results.items():
        shown = table(
            f"budgets take {float(load):.0%} of the core, times in ms",
            *("task", "frames", "late", "none", "p50", "p99", "max", "deadline", "bound", "CV"),
        )
        for way, rows in result["rows"].items():
            shown.add_row(f"[bold]{way}[/bold]")
            for name, row in rows.items():
                shown.add_row(
                    f"  {name}",
                    f"{row['frames']}",
                    f"{row['late']}",
                    f"{row['without_result']}",
                    *(f"{row[key]:.1f}" for key in ("p50_ms", "p99_ms", "max_ms", "deadline_ms")),
                    f"{row['bound_ms']:.1f}" if row["bound_ms"] else "",
                    f"{row['cv']:.2f}",
                )
            shown.add_section()
        console.print(shown)


if __name__ == "__main__":
    main()
