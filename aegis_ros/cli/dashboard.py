"""`aegis dashboard`: the live page of a running orchestrator."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from aegis_ros.errors import ConfigError

__all__ = ["node_command", "run"]

_PORTS = range(65536)


def run(
    target: str, host: str, port: int, *, metrics: bool, results: bool, params: Path | None
) -> NoReturn:
    """Become the dashboard node, which serves until Ctrl+C.

    Args:
        target: name of the orchestrator node.
        host: address to listen on.
        port: port; 0 for any free one.
        metrics: serve /metrics, too.
        results: listen to results for their timing.
        params: file of ROS parameters, such as a token, which has no place on a command line.

    Raises:
        ConfigError: ROS or the built package is not in the environment, or an argument is wrong.
    """
    command = node_command(target, host, port, metrics=metrics, results=results, params=params)
    _require_ros()
    sys.stdout.flush()
    os.execv(command[0], command)


def node_command(
    target: str, host: str, port: int, *, metrics: bool, results: bool, params: Path | None
) -> list[str]:
    """Return the command that runs the node; as :func:`run`."""
    if port not in _PORTS:
        raise ConfigError("out of range", where="--port", value=port, expected="0 to 65535")
    for name, value in (("--target", target), ("--host", host)):
        if not value or any(not sign.isprintable() or sign in " ='" for sign in value):
            raise ConfigError("not valid", where=name, value=value, expected="a name or address")
    if params is not None and not params.is_file():
        raise ConfigError("there is no such file", where="--params", value=params)
    chosen = {
        "target": target,
        "host": f"'{host}'",  # 1.2 would be a number
        "port": str(port),
        "metrics": str(metrics).lower(),
        "results": str(results).lower(),
    }
    command = [sys.executable, "-m", "aegis_ros.nodes.dashboard", "--ros-args"]
    if params is not None:
        command += ["--params-file", str(params)]
    for name, value in chosen.items():
        command += ["-p", f"{name}:={value}"]
    return command


def _require_ros() -> None:
    for name, missing, hint in (
        ("rclpy", "ROS 2 is not in the environment", "source /opt/ros/<distro>/setup.bash"),
        (
            "aegis_ros.msg",
            "the built package is not in the environment",
            "source install/setup.bash",
        ),
    ):
        if find_spec(name) is None:
            raise ConfigError(
                missing,
                where="aegis dashboard",
                hint=f"In this shell, {hint} first; a recorded run needs no ROS: "
                "aegis report TRACE -o run.html",
            )
