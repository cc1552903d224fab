"""Each benchmark can still be imported: nothing else runs them where code moves."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import benchmarks

_ROOT = Path(benchmarks.__file__).parent
_OVER_DDS = ("answers", "ros", "soak", "stack")
PROGRAMS = sorted(path.parent.name for path in _ROOT.glob("*/__main__.py"))


@pytest.mark.parametrize("name", [*PROGRAMS, "analysis.acceptance"])
def test_a_benchmark_can_be_imported(name: str) -> None:
    if name in _OVER_DDS:
        pytest.importorskip("rclpy")
    program = name if "." in name else f"{name}.__main__"
    assert callable(importlib.import_module(f"benchmarks.{program}").main)
