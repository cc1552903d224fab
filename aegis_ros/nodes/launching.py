"""How the launch files declare their arguments and start the nodes; needs `launch`, as they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from aegis_ros.nodes.launch_arguments import ARGUMENTS, PARAMETERS, misspelled

__all__ = ["checked", "declare", "for_large_images", "include", "share", "start"]

_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
_CHECKED = "aegis_ros_arguments_checked"


def share(relative: str) -> str:
    """Return the path of an installed file of this package."""
    return str(Path(get_package_share_directory("aegis_ros")) / relative)


def declare(*names: str, **defaults: str | None) -> list[LaunchDescriptionEntity]:
    """Declare arguments.

    Args:
        names: of those with their own default.
        defaults: of the others, by name; ``None``: it must be given.
    """
    own: dict[str, Any] = {name: ARGUMENTS[name].default for name in names}
    own["fastdds_profile"] = EnvironmentVariable(
        _PROFILE, default_value=share("config/fastdds.xml")
    )
    return [
        DeclareLaunchArgument(
            name,
            default_value=default,
            description=ARGUMENTS[name].description,
            choices=list(ARGUMENTS[name].choices) or None,
        )
        for name, default in (own | defaults).items()
        if name in (*names, *defaults)
    ]


def checked() -> OpaqueFunction:
    """Warn of arguments that are nearly one of ours: `ros2 launch` ignores what nobody declares."""
    return OpaqueFunction(function=_warn)


def _warn(context: LaunchContext) -> None:
    if _CHECKED in context.get_locals_as_dict():
        return  # by a file that this one includes, or that includes it
    context.extend_globals({_CHECKED: True})
    for given, meant in misspelled(context.argv).items():
        get_logger("launch.user").warning(
            f"{given} is no argument of these launch files and is ignored: did you mean {meant}:=?"
        )


def start(program: str, **more: Any) -> Node:
    """Start one of our nodes, with the parameters its arguments set.

    Args:
        program: as `ros2 run aegis_ros` knows it.
        more: further arguments of launch's ``Node``.
    """
    return Node(
        package="aegis_ros",
        executable=program,
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                parameter: ParameterValue(
                    LaunchConfiguration(name), value_type=ARGUMENTS[name].kind
                )
                for parameter, name in PARAMETERS[program].items()
            }
        ],
        arguments=[
            "--ros-args",
            "--log-level",
            LaunchConfiguration("log_level"),
            "--enclave",
            [LaunchConfiguration("enclave"), f"/{program}"],
        ],
        output="screen",
        emulate_tty=True,
        **more,
    )


def for_large_images(*nodes: LaunchDescriptionEntity) -> GroupAction:
    """Start nodes with the profile in their environment, without which large images are lost."""
    profile = LaunchConfiguration("fastdds_profile")
    chosen = IfCondition(NotEqualsSubstitution(profile, ""))
    return GroupAction([SetEnvironmentVariable(_PROFILE, profile, condition=chosen), *nodes])


def include(file: str, **arguments: Any) -> IncludeLaunchDescription:
    """Include another launch file of this package."""
    return IncludeLaunchDescription(
        PythonLaunchDescriptionSource(share(f"launch/{file}")),
        launch_arguments=arguments.items(),
    )
