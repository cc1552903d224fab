"""The arguments of the launch files, each declared once, with the parameters that they set."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ARGUMENTS", "PARAMETERS", "LaunchArgument", "misspelled"]

_BOOLEAN = ("true", "false")
_NEAR = 0.75  # of 1: nearer than this is a mistake rather than an argument of somebody else


@dataclass(frozen=True, slots=True)
class LaunchArgument:
    """One argument of `ros2 launch`.

    Attributes:
        name: as it is given, ``name:=value``.
        description: what `ros2 launch --show-args` says of it.
        default: ``None`` where it must be given.
        kind: type of the parameter that it sets.
        choices: all that it may be, empty for anything.
    """

    name: str
    description: str
    default: str | None = ""
    kind: type = str
    choices: tuple[str, ...] = ()


def _switch(name: str, description: str, default: str = "false") -> LaunchArgument:
    return LaunchArgument(name, description, default, kind=bool, choices=_BOOLEAN)


ARGUMENTS = {
    argument.name: argument
    for argument in (
        LaunchArgument(
            "config",
            "YAML file; of the orchestrator: device, models and tasks (empty: default device, no "
            "tasks yet), of the replay node: which recordings on which topics",
        ),
        LaunchArgument("replay_config", "YAML file of the replay node"),
        LaunchArgument("name", "node name"),
        LaunchArgument("namespace", "node namespace"),
        LaunchArgument(
            "enclave",
            "path in the keystore of SROS2 that each node has its enclave below, as "
            "/aegis/orchestrator; it acts where ROS_SECURITY_ENABLE is true",
            "/aegis",
        ),
        _switch(
            "autostart",
            "configure and activate by itself; false: wait for `ros2 lifecycle set`",
            "true",
        ),
        LaunchArgument(
            "state_dir", "folder of the journal and the profiles; empty: ~/.ros/aegis_ros"
        ),
        _switch("dashboard", "also serve a live page of this orchestrator"),
        LaunchArgument(
            "dashboard_host",
            "address the page is served on; 127.0.0.1: this machine only",
            "127.0.0.1",
        ),
        LaunchArgument("dashboard_port", "port the page is served on", "8470", kind=int),
        LaunchArgument(
            "dashboard_token_file",
            "file (mode 600) of the token that a browser needs to pause tasks; empty: read-only",
        ),
        _switch("metrics", "also serve /metrics for Prometheus there; alone or with the page"),
        _switch("chat", "also serve the chat API of OpenAI in front of its generators"),
        LaunchArgument(
            "chat_host",
            "address the chat API is served on; 127.0.0.1: this machine only; others need a token",
            "127.0.0.1",
        ),
        LaunchArgument("chat_port", "port the chat API is served on", "8471", kind=int),
        LaunchArgument(
            "chat_token_file",
            "file (mode 600) of the token that clients of the chat API need; empty: none",
        ),
        _switch("use_sim_time", "read stamps against /clock"),
        LaunchArgument(
            "log_level",
            "log level of the nodes",
            "info",
            choices=("debug", "info", "warn", "error", "fatal"),
        ),
        LaunchArgument(
            "fastdds_profile",
            "Fast DDS profile for large images; it acts on what publishes them, so camera drivers "
            "need it too; empty: leave the environment as it is",
        ),
    )
}

PARAMETERS = {
    "orchestrator": {
        "config": "config",
        "autostart": "autostart",
        "state_dir": "state_dir",
        "use_sim_time": "use_sim_time",
    },
    "dashboard": {
        "target": "name",
        "host": "dashboard_host",
        "port": "dashboard_port",
        "token_file": "dashboard_token_file",
        "page": "dashboard",
        "results": "dashboard",
        "metrics": "metrics",
    },
    "chat": {
        "target": "name",
        "host": "chat_host",
        "port": "chat_port",
        "token_file": "chat_token_file",
    },
    "replay": {"config": "config"},
}
"""By program: parameter of the node -> argument that sets it."""


def misspelled(command_line: Iterable[str]) -> dict[str, str]:
    """Return names given to `ros2 launch` that are nearly one of ours, each with that one.

    What is farther from all of ours may belong to the launch file that includes ours.

    Args:
        command_line: what stands behind the name of the launch file, as ``config:=robot.yaml``.
    """
    given = [each.partition(":=")[0] for each in command_line if ":=" in each]
    near = {
        name: difflib.get_close_matches(name, ARGUMENTS.keys() - set(given), n=1, cutoff=_NEAR)
        for name in given
        if name not in ARGUMENTS
    }
    return {name: found[0] for name, found in near.items() if found}
