"""No admission imports a library beside quick services and frames."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from aegis_ros.sandbox.children import child_environment

_PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from aegis_ros.orchestrator import Orchestrator
from test.orchestrator.house import House

house = House(Path(sys.argv[1]))
house.orchestrator.configure()
before = set(sys.modules)
assert "aegis_ros.cli" not in before
house.engine.run_ns = 4_000_000
answer = house.orchestrator.register(house.task(wcet_ms=0))
assert answer.accepted, answer.rationale.sentence
assert not house.orchestrator.register(house.task("large", wcet_ms=0, period_ms=5)).accepted
print(*sorted(set(sys.modules) - before))
"""
_SMALL = ("aegis_ros.backends.", "aegis_ros.decoders.")  # which one, the task says


def test_an_admission_imports_nothing_but_its_backend_and_decoder(tmp_path: Path) -> None:
    """After configure, in a process that has admitted nothing: measured, admitted and rejected."""
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "house")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env=child_environment(),
    )
    assert found.returncode == 0, found.stderr
    assert [name for name in found.stdout.split() if not name.startswith(_SMALL)] == []
