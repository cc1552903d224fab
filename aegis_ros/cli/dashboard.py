"""`aegis dashboard`: the live page of a running orchestrator."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from aegis_ros.errors import ConfigError

__all__ = ["node_arguments", "run"]

_PROGRAMS = "aegis_ros.programs"
_PORTS = range(65536)


def run(arguments: Sequence[str]) -> NoReturn:
    """Become the dashboard node, which serves until Ctrl+C.

    Args:
        arguments: as :func:`node_arguments` returns them.

    Raises:
        ConfigError: ROS or the built package is not in the environment.
    """
    program = _program()
    # -P: nothing of the folder it is started in is imported.
    command = [sys.executable, "-P", "-m", program.module, program.attr, *arguments]
    sys.stdout.flush()
    os.execv(command[0], command)


def node_arguments(
    target: str,
    host: str,
    port: int,
    *,
    metrics: bool,
    results: bool,
    params: Path | None,
    token_file: Path | None = None,
) -> list[str]:
    """Return the arguments of the node's program.

    Args:
        target: name of the orchestrator node.
        host: address to listen on.
        port: port; 0 for any free one.
        metrics: serve /metrics, too.
        results: listen to results for their timing.
        params: file of ROS parameters.
        token_file: file of the token that changes need.

    Raises:
        ConfigError: an argument is wrong.
    """
    if port not in _PORTS:
        raise ConfigError("out of range", where="--port", value=port, expected="0 to 65535")
    for name, value in (("--target", target), ("--host", host)):
        if not value or any(not sign.isprintable() or sign in " ='" for sign in value):
            raise ConfigError("not valid", where=name, value=value, expected="a name or address")
    for name, file in (("--params", params), ("--token-file", token_file)):
        if file is not None and not file.is_file():
            raise ConfigError("there is no such file", where=name, value=file)
    chosen = {
        "target": target,
        "host": f"'{host}'",  # 1.2 would be a number
        "port": str(port),
        "metrics": str(metrics).lower(),
        "results": str(results).lower(),
    }
    if token_file is not None:
        chosen["token_file"] = json.dumps(str(token_file.absolute()))  # quoted as YAML
    arguments = ["--ros-args"]
    if params is not None:
        arguments += ["--params-file", str(params)]
    for name, value in chosen.items():
        arguments += ["-p", f"{name}:={value}"]
    return arguments


def _program() -> EntryPoint:
    """Return where the node's program starts, as the built package lists it.

    Raises:
        ConfigError: ROS or the built package is not in the environment.
    """
    if find_spec("rclpy") is None:
        raise _missing("ROS 2 is not", "/opt/ros/<distro>/setup.bash")
    listed = next(iter(entry_points(group=_PROGRAMS, name="dashboard")), None)
    if listed is None or find_spec("aegis_ros.msg") is None:
        raise _missing("the built package is not", "install/setup.bash")
    return listed


def _missing(what: str, script: str) -> ConfigError:
    return ConfigError(
        f"{what} in the environment",
        where="aegis dashboard",
        hint=f"In this shell, source {script} first, or bootstrap/activate.sh of a checkout that "
        "was built; a recorded run needs no ROS: aegis report TRACE -o run.html",
    )
