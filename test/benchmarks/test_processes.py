"""The processes of a benchmark end with it, however it ends."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import benchmarks
from aegis_ros.sandbox.descendants import marked
from test.waiting import until

_ROOT = Path(benchmarks.__file__).parent

_BENCHMARK = """
import os, sys, time
from pathlib import Path
from aegis_ros.sandbox.descendants import MARK
from benchmarks.processes import process

with process(Path(sys.argv[1]), "http.server", "--bind", "127.0.0.1", "0"):
    print(os.environ[MARK].split()[-1], flush=True)
    time.sleep(600)
"""


def test_what_a_benchmark_has_started_ends_when_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _BENCHMARK, str(tmp_path / "log")],
        cwd=_ROOT.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        try:
            assert killed.stdout is not None
            word = killed.stdout.readline().strip()
            assert len(marked(word)) == 1
        finally:
            killed.kill()
    until(lambda: not marked(word))


def test_processes_that_stay_are_started_in_one_place() -> None:
    started = {
        str(path.relative_to(_ROOT))
        for path in _ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Popen")
    }
    assert started == {"processes.py"}
