"""The package can be used as a library without ROS, and lists its programs once."""

from __future__ import annotations

import importlib
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import setuptools

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def setup_keywords(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    captured: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, "setup", lambda **keywords: captured.update(keywords))
    runpy.run_path(str(ROOT / "setup.py"))
    return captured


def test_library_floors_import_without_ros() -> None:
    code = (
        "import sys\n"
        "for name in ('rclpy', 'sensor_msgs', 'std_msgs', 'aegis_ros.msg'):\n"
        "    sys.modules[name] = None\n"
        "import aegis_ros, aegis_ros.spec, aegis_ros.rationale\n"
        "import aegis_ros.analysis, aegis_ros.simulation, aegis_ros.orchestrator\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_listed_program_and_plugin_exists(setup_keywords: dict[str, Any]) -> None:
    lines = [line for group in setup_keywords["entry_points"].values() for line in group]
    assert lines
    for line in lines:
        module, _, attribute = line.split("=")[1].strip().partition(":")
        assert hasattr(importlib.import_module(module), attribute), line


def test_programs_are_written_for_ros2_run(tmp_path: Path) -> None:
    script = ROOT / "bootstrap" / "programs.py"
    subprocess.run(
        [sys.executable, str(script), str(ROOT / "setup.py"), str(tmp_path), "/opt/python"],
        check=True,
    )
    program = tmp_path / "lib" / "orchestrator"
    assert program.stat().st_mode & 0o111
    assert program.read_text().startswith("#!/opt/python\n")
    assert "from aegis_ros.nodes.orchestrator_main import main" in program.read_text()
    assert "[aegis_ros.backends]" in (tmp_path / "dist-info" / "entry_points.txt").read_text()


def test_versions_agree(setup_keywords: dict[str, Any]) -> None:
    version = setup_keywords["version"]
    assert f"<version>{version}</version>" in (ROOT / "package.xml").read_text()
    assert f"{version}.dist-info" in (ROOT / "CMakeLists.txt").read_text()
    assert importlib.import_module("aegis_ros").__version__ == version


def test_missing_tools_are_named_with_the_one_line_that_brings_them(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "git", "make"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    result = subprocess.run(
        ["bash", str(ROOT / "bootstrap" / "environment.sh")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "apt-get install -y g++ python3 python3-venv python3-dev" in result.stderr
