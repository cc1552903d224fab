"""The programs with a backend that cannot be had: one sentence, and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from test.driver import without_driver


@without_driver
@pytest.mark.parametrize("program", ["demo", "orchestrator_main"])
def test_without_a_gpu_the_program_ends_and_says_what_is_missing(
    program: str, tmp_path: Path
) -> None:
    shipped = Path(__file__).resolve().parents[2] / "config" / "demo.yaml"
    config = tmp_path / "robot.yaml"
    config.write_text(shipped.read_text().replace("backend: onnxruntime", "backend: tensorrt"))
    how = {
        "demo": ["--seconds", "5", "--config", str(config), "--output", str(tmp_path / "out")],
        "orchestrator_main": [
            "--ros-args",
            "-p",
            f"config:={config}",
            "-p",
            f"state_dir:={tmp_path / 'state'}",
        ],
    }[program]
    done = subprocess.run(
        [sys.executable, "-m", f"aegis_ros.nodes.{program}", *how],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert said.count("backend tensorrt needs an NVIDIA GPU") == 1
    assert "Traceback" not in said
