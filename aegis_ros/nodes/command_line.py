"""The command line of a program that takes nothing but arguments of ROS."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from aegis_ros.nodes.launch_arguments import ARGUMENTS, PARAMETERS

__all__ = ["take_ros_arguments"]


def take_ros_arguments(program: str, description: str, args: Sequence[str] | None) -> None:
    """Answer ``--help``, and refuse what ROS would ignore, such as a file without ``config:=``.

    Args:
        program: its name.
        description: what it does, in one sentence.
        args: its command line; ``None`` for that of the process.

    Raises:
        SystemExit: with 0 after help, with 2 where there is anything else than arguments of ROS.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [--ros-args -p NAME:=VALUE ... -r __node:=NAME -r __ns:=/NAMESPACE]",
        description=description,
        epilog=_parameters(program),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    given = remove_ros_args(sys.argv if args is None else [program, *args])[1:]
    unknown = parser.parse_known_args(given)[1]
    if unknown:
        parser.error(
            f"{' '.join(unknown)} is no argument of ROS; a configuration is given as "
            "--ros-args -p config:=/path/to/file.yaml"
            if program != "dashboard"
            else f"{' '.join(unknown)} is no argument of ROS; see --help"
        )


def _parameters(program: str) -> str:
    lines = ["parameters:"]
    for name, argument in PARAMETERS[program].items():
        found = ARGUMENTS[argument]
        default = f" (default {found.default})" if found.default else ""
        lines.append(f"  {name:<14}{found.description}{default}")
    return "\n".join(lines)
