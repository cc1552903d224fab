"""A test run ends with what was skipped and what would run it; continuous integration runs all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]

_TESTS = """
import pytest

@pytest.mark.parametrize("number", [1, 2, 3])
def test_on_a_gpu(number):
    pytest.skip("an NVIDIA GPU")

pytest.importorskip("no_such_module", reason="`ros2 launch`: source a ROS 2 installation")
"""


def test_what_is_skipped_is_listed_by_what_would_run_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from test.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_gpu.py").write_text(_TESTS.rpartition("\npytest.import")[0])
    (tmp_path / "test_launch.py").write_text(_TESTS)
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            "--rootdir",
            str(tmp_path),
            ".",
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    _, _, listed = ran.stdout.partition("skipped, and what would run it")
    lines = [line.split(maxsplit=1) for line in listed.splitlines()[1:] if line]
    assert lines[:2] == [
        ["3", "an NVIDIA GPU"],
        ["1", "`ros2 launch`: source a ROS 2 installation"],
    ], ran.stdout + ran.stderr


def test_what_integration_runs_brings_a_browser_and_is_what_a_person_runs() -> None:
    assert (_ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"
    planned = subprocess.run(
        ["make", "--dry-run", "test"], cwd=_ROOT, capture_output=True, text=True, check=True
    ).stdout
    brought = [f"bootstrap/{name}.sh" for name in ("build", "browser", "fastdds", "runtimes")]
    steps = (*brought, "mypy", "pytest")
    places = [planned.index(step) for step in steps]
    assert places == sorted(places)
    assert "AEGIS_REQUIRE_ROS=1" in planned  # without ROS 2 it fails, and skips nothing
