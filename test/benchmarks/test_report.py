"""What all benchmarks share: options, figures, progress, and the reason of a failure."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import wait
from benchmarks.progress import Lines, steps
from benchmarks.report import Figure, figure, figures_in, parser, publish, read_options
from benchmarks.transport import declared_jitter_ms


def test_quick_sets_what_was_not_asked_for() -> None:
    def asked(*arguments: str) -> tuple[float, int]:
        made = parser("benchmarks.one", "One.")
        made.add_argument("--seconds", type=float, default=20.0)
        made.add_argument("--kills", type=int, default=10)
        options = read_options(made, {"seconds": 2.0, "kills": 1}, arguments)
        return options.seconds, options.kills

    assert asked() == (20.0, 10)
    assert asked("--quick") == (2.0, 1)
    assert asked("--kills", "3", "--quick") == (2.0, 3)


def test_figures_are_read_as_they_were_published(tmp_path: Path) -> None:
    rows = [figure("wait", "us", [1.0, 2.0, 3.0]), figure("size", "bytes", [7.0])]
    publish("benchmarks.one", tmp_path / "one.json", rows, {"facts": {"of": 1}})
    read = json.loads((tmp_path / "one.json").read_text())
    assert figures_in(read) == rows
    assert rows[1] == Figure("size", "bytes", 1, 7.0)
    assert read["command"].startswith("python -m benchmarks.one")
    assert read["facts"] == {"of": 1}


def test_figures_of_older_versions_are_read() -> None:
    by_name = {
        "rows": {"  dispatch (us)": {"count": 2, "p50": 1.0, "p99": 2.0, "max": 2.0}},
        "ratios": {"720p: ratio": 1.4},
    }
    assert figures_in(by_name) == [
        Figure("dispatch", "us", 2, 1.0, 2.0, 2.0),
        Figure("720p: ratio", "", 1, 1.4),
    ]
    row = {"name": "admission", "tasks": 30, "unit": "ms", "count": 5, "p50": 0.2, "min": 0.1}
    assert figures_in({"rows": [row]}) == [Figure("admission, 30 tasks", "ms", 5, 0.2)]


def test_progress_in_a_pipe_is_a_line_a_step_and_one_every_ten_seconds() -> None:
    now = 0.0
    output = io.StringIO()
    shown = Lines(output, lambda: now)
    for _ in steps(shown, range(5), "measuring"):
        now += 4.0
    row = shown.add_task("planning")
    shown.update(row, description="planning anew")
    assert output.getvalue().splitlines() == [
        "    0 s  measuring",
        "   12 s  measuring (3 of 5)",
        "   20 s  planning",
        "   20 s  planning anew",
    ]


def test_a_rejection_ends_the_wait_at_once_with_its_reason() -> None:
    with pytest.raises(SystemExit, match="no results: rejected by rule utilization"):
        wait(lambda: False, "no results", refused=lambda: "rejected by rule utilization")


def test_a_failed_start_is_reported_with_what_the_process_said_last(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [sys.executable, "-c", "raise SystemExit('no such model')"], stderr=output
        )
    with pytest.raises(SystemExit, match=r"(?s)not active.*ended with code 1.*no such model"):
        wait(lambda: False, "not active", running, log=log)


def test_the_jitter_follows_from_how_long_images_travelled() -> None:
    assert declared_jitter_ms([2.0, 2.5, 3.0], 12.0) == 12.0
    assert declared_jitter_ms([20.0, 25.0], 12.0) == 50.0
