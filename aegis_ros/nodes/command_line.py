"""The command line of a program: what of it is for ROS, and what is left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from aegis_ros.nodes.launch_arguments import ARGUMENTS, PARAMETERS
from aegis_ros.nodes.starting import argument_refusal

__all__ = ["beside_ros_arguments", "take_ros_arguments"]


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
    unknown = parser.parse_known_args(beside_ros_arguments(parser, args))[1]
    if unknown:
        parser.error(
            f"{' '.join(unknown)} is no argument of ROS; a configuration is given as "
            "--ros-args -p config:=/path/to/file.yaml"
            if "config" in PARAMETERS[program]
            else f"{' '.join(unknown)} is no argument of ROS; see --help"
        )


def beside_ros_arguments(parser: argparse.ArgumentParser, args: Sequence[str] | None) -> list[str]:
    """Return the arguments of a program that are not for ROS.

    Args:
        parser: of the program; ends it where those for ROS cannot be used.
        args: its command line; ``None`` for that of the process.
    """
    try:
        return list(remove_ros_args(sys.argv if args is None else [parser.prog, *args])[1:])
    except RuntimeError as error:
        parser.error(str(argument_refusal(error) or error))


def _parameters(program: str) -> str:
    lines = ["parameters:"]
    for name, argument in PARAMETERS[program].items():
        found = ARGUMENTS[argument]
        default = f" (default {found.default})" if found.default else ""
        lines.append(f"  {name:<14}{found.description}{default}")
    return "\n".join(lines)
