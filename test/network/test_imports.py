"""What the children that work on a network load: each network that is new costs several starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aegis_ros.sandbox.children import child_environment

_PACKAGE = Path(__file__).resolve().parents[2] / "aegis_ros"
_WHILE_AT_WORK = ("graph", "stand_in", "trial")  # of aegis_ros.network


def test_children_load_nothing_that_reads_a_configuration() -> None:
    children = [
        *(_PACKAGE / "network").rglob("*_child.py"),
        *_PACKAGE.glob("backends/cpu/*_child.py"),
    ]
    names = [".".join(each.relative_to(_PACKAGE.parent).with_suffix("").parts) for each in children]
    names += [f"aegis_ros.network.{each}" for each in _WHILE_AT_WORK]
    assert len(names) > 8
    found = subprocess.run(
        [sys.executable, "-c", f"import sys, {', '.join(names)}; print(*sys.modules)"],
        env=child_environment(),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout.split()
    assert "onnx" in found
    unused = {"aegis_ros.config.keys", "aegis_ros.wcet", "pydantic", "scipy", "yaml"}
    assert unused & set(found) == set()
