"""What is wrong with a configuration is in the log with file and line, whenever it is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_backend_that_does_not_exist_is_reported_at_its_line(tmp_path: Path) -> None:
    config = tmp_path / "robot.yaml"
    config.write_text("models: {}\ndevice: {backend: onnxruntim}\n")
    command = [sys.executable, "-m", "aegis_ros.nodes.orchestrator_main", "--ros-args"]
    command += ["-p", f"config:={config}", "-p", f"state_dir:={tmp_path / 'state'}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"{config}:2: device.backend: there is no such backend" in ended.stdout + ended.stderr
