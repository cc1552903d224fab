"""How late the engine starts a job that finds its lane free, while three 720p cameras send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.figures import lane_of
from benchmarks.compare.models import URGENT
from benchmarks.compare.rounds import Arm, Round
from benchmarks.compare.workload import Task, Workload
from benchmarks.progress import Shown, steps
from benchmarks.report import Figure, console, percentiles, table
from benchmarks.stack.arms import Listener, Stage, one_round

__all__ = ["dispatch_lateness", "dispatch_rows", "show_dispatch"]

_FRAME = (720, 1280)
_PERIOD_MS = 50.0
_CAMERAS = 3
_ROWS = (
    ("release to start, lane free", "dispatch_us"),
    ("stamp to release (transport, copy)", "stamp_to_release_us"),
)
_P99_US, _MAX_US = 200.0, 1000.0


def dispatch_lateness(
    workload: Workload, folder: Path, state: Path, *, seconds: float, rounds: int, shown: Shown
) -> dict[str, Any]:
    """Run the orchestrator on three cameras with a small network each; return the figures.

    Cameras are apart by more than a network takes, so that every job finds the lane free.
    """
    tasks = [
        Task(f"camera_{n}", URGENT, f"/stack/camera_{n}", _PERIOD_MS, _PERIOD_MS, "high")
        for n in range(_CAMERAS)
    ]
    listener = Listener([task.name for task in tasks])
    stage = Stage(workload, {}, folder, state, listener, _FRAME)
    arm = Arm("dispatch", "three 720p cameras at 20 Hz", "aegis")
    found: list[Round] = []
    for number in steps(shown, range(rounds), f"rounds of {seconds:g} s with {arm.label}"):
        item, ended = one_round(stage, arm, load=0.0, number=number, tasks=tasks, seconds=seconds)
        found.append(item)
        if ended:
            break
    late = [lane.dispatch_us for item in found if (lane := lane_of(item)) is not None]
    ready = [one.ready_ms * 1e3 for item in found for one in item.tasks.values()]
    return {
        "frames": sum(one.frames for item in found for one in item.tasks.values()),
        "without": sum(one.without for item in found for one in item.tasks.values()),
        "cores_others": float(np.mean([item.cpu.others for item in found])),
        "dispatch_us": percentiles(np.concatenate(late)),
        "stamp_to_release_us": percentiles(np.concatenate(ready)),
    }


def dispatch_rows(figures: dict[str, Any]) -> list[Figure]:
    """Return the figures that a page shows."""
    return [
        Figure(
            f"{_CAMERAS} cameras 720p: {what}",
            "us",
            figures[key]["count"],
            *(figures[key][each] for each in ("p50", "p99", "max")),
        )
        for what, key in _ROWS
    ]


def show_dispatch(figures: dict[str, Any]) -> None:
    """Print the figures and whether the goal is reached."""
    output = console()
    shown = table("three 720p cameras at 20 Hz, us", "what", "count", "p50", "p99", "max")
    for what, key in _ROWS:
        row = figures[key]
        numbers = (f"{row[each]:.0f}" for each in ("p50", "p99", "max"))
        shown.add_row(what, str(row["count"]), *numbers)
    output.print(shown)
    row = figures["dispatch_us"]
    met = row["p99"] <= _P99_US and row["max"] <= _MAX_US
    output.print(
        f"p99 <= {_P99_US:.0f} us and max <= {_MAX_US:.0f} us: {'yes' if met else 'no'}; "
        f"{figures['without']} of {figures['frames']} frames without a result; others used "
        f"{figures['cores_others']:.2f} cores"
    )
