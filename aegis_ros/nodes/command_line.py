"""The command line of a program: what of it is for ROS, and what is left."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from aegis_ros.nodes.parameters import Declaration
from aegis_ros.nodes.starting import argument_refusal

__all__ = ["beside_ros_arguments", "take_ros_arguments"]


_WIDTH = 100
_CLOCK = Declaration("use_sim_time", False, "Read time from /clock.")  # every node of ROS has it


def take_ros_arguments(
    program: str,
    description: str,
    parameters: Sequence[Declaration],
    args: Sequence[str] | None,
) -> None:
    """Answer ``--help``, and refuse what ROS would ignore, such as a file without ``config:=``.

    Args:
        program: its name.
        description: what it does, in one sentence.
        parameters: of its node.
        args: its command line; ``None`` for that of the process.

    Raises:
        SystemExit: with 0 after help, with 2 where there is anything else than arguments of ROS.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"{program} [--ros-args -p NAME:=VALUE ... -r __node:=NAME -r __ns:=/NAMESPACE]",
        description=description,
        epilog=_listed(parameters),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    unknown = parser.parse_known_args(beside_ros_arguments(parser, args))[1]
    if unknown:
        parser.error(
            f"{' '.join(unknown)} is no argument of ROS; a configuration is given as "
            "--ros-args -p config:=/path/to/file.yaml"
            if any(each.name == "config" for each in parameters)
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


def _listed(parameters: Sequence[Declaration]) -> str:
    lines = ["parameters:"]
    column = max(len(each.name) for each in (*parameters, _CLOCK)) + 4
    for each in (*parameters, _CLOCK):
        default = str(each.default).lower() if isinstance(each.default, bool) else each.default
        text = each.text if default == "" else f"{each.text} Default: {default}."
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {each.name}".ljust(column),
            subsequent_indent=" " * column,
            break_on_hyphens=False,
        )
    return "\n".join(lines)
