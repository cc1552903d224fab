"""Ctrl+C of each launch file, at several moments."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from test.interrupted import Interrupted

_NEEDED = "`ros2 launch`, which the ROS wheels lack: source a ROS 2 installation"
pytest.importorskip("launch.actions", reason=_NEEDED)
pytest.importorskip("launch_ros.actions", reason=_NEEDED)
pytest.importorskip("aegis_ros.msg", reason="ROS 2: `make build`, then `make unit`")

_ROOT = Path(__file__).resolve().parents[2]

# What `ros2 launch` does.
_LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

path, *arguments = sys.argv[1:]
included = IncludeLaunchDescription(
    PythonLaunchDescriptionSource(path),
    launch_arguments=[each.split(":=", 1) for each in arguments],
)
service = LaunchService(argv=arguments)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""
_ORCHESTRATOR = ("config:=robot.yaml", "state_dir:=state")


_DEMO = ("config:=robot.yaml", "replay_config:=replay.yaml")
# The interpreter's own start, before a line of ours runs, cannot be told how to end.
_IMPORTING = "_rclpy_pybind11"


@pytest.mark.parametrize(
    ("file", "arguments", "moment"),
    [
        ("orchestrator", _ORCHESTRATOR, _IMPORTING),
        ("orchestrator", _ORCHESTRATOR, "topics are subscribed"),
        ("orchestrator", (*_ORCHESTRATOR, "dashboard:=true", "dashboard_port:=0"), "page of"),
        ("replay", ("config:=replay.yaml",), _IMPORTING),
        ("replay", ("config:=replay.yaml",), "playing 1 recording"),
        ("demo", _DEMO, _IMPORTING),
        ("demo", _DEMO, "playing 1 recording"),
    ],
)
def test_a_launch_file_ends_on_ctrl_c_without_an_error(
    file: str, arguments: tuple[str, ...], moment: str, tmp_path: Path
) -> None:
    (tmp_path / "robot.yaml").write_text(
        "device: {backend: onnxruntime, lanes: [{name: main}], arena_mib: 64, "
        "realtime_priority: 0}\n"
    )
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "replay.yaml").write_text(
        f"sources: [{{images: '{tmp_path}', topic: /camera, rate_hz: 5}}]"
    )
    launch = str(_ROOT / "launch" / f"{file}.launch.py")
    command = [sys.executable, "-c", _LAUNCH, launch, *arguments]
    more = {
        "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path]),
        "HOME": str(tmp_path),
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    with Interrupted(command, tmp_path, **more) as running:
        if moment == _IMPORTING:
            nodes = 2 if file == "demo" else 1
            running.until(lambda: running.children_with(moment) == nodes)
        else:
            running.until(lambda: moment in running.said())
        running.interrupt()
        assert running.ended() == 0
