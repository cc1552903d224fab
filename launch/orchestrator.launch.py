"""Start the orchestrator node.

ros2 launch aegis_ros orchestrator.launch.py config:=/path/to/robot.yaml
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import (
    EnvironmentVariable,
    LaunchConfiguration,
    NotEqualsSubstitution,
    OrSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    large_images = Path(get_package_share_directory("aegis_ros")) / "config" / "fastdds.xml"
    arguments = [
        DeclareLaunchArgument(
            "config",
            default_value="",
            description="YAML file: device, models and tasks; empty: default device, no tasks yet",
        ),
        DeclareLaunchArgument("name", default_value="orchestrator", description="node name"),
        DeclareLaunchArgument("namespace", default_value="", description="node namespace"),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=["true", "false"],
            description="configure and activate by itself; false: wait for `ros2 lifecycle set`",
        ),
        DeclareLaunchArgument(
            "state_dir",
            default_value="",
            description="folder of the journal and the profiles; empty: ~/.ros/aegis_ros",
        ),
        DeclareLaunchArgument(
            "dashboard",
            default_value="false",
            choices=["true", "false"],
            description="also serve a live page of this orchestrator",
        ),
        DeclareLaunchArgument(
            "dashboard_host",
            default_value="127.0.0.1",
            description="address the page is served on; 127.0.0.1: this machine only",
        ),
        DeclareLaunchArgument(
            "dashboard_port", default_value="8470", description="port the page is served on"
        ),
        DeclareLaunchArgument(
            "metrics",
            default_value="false",
            choices=["true", "false"],
            description="also serve /metrics for Prometheus there; alone or with the page",
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=["true", "false"],
            description="read stamps against /clock",
        ),
        DeclareLaunchArgument(
            "log_level",
            default_value="info",
            choices=["debug", "info", "warn", "error", "fatal"],
            description="log level of the node",
        ),
        DeclareLaunchArgument(
            "fastdds_profile",
            default_value=EnvironmentVariable(
                "FASTRTPS_DEFAULT_PROFILES_FILE", default_value=str(large_images)
            ),
            description="Fast DDS profile for large images (camera drivers need it too); "
            "empty: leave the environment as it is",
        ),
    ]
    node = Node(
        package="aegis_ros",
        executable="orchestrator",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "config": ParameterValue(LaunchConfiguration("config"), value_type=str),
                "autostart": ParameterValue(LaunchConfiguration("autostart"), value_type=bool),
                "state_dir": ParameterValue(LaunchConfiguration("state_dir"), value_type=str),
                "use_sim_time": ParameterValue(
                    LaunchConfiguration("use_sim_time"), value_type=bool
                ),
            }
        ],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
    )
    page = Node(
        package="aegis_ros",
        executable="dashboard",
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            {
                "target": ParameterValue(LaunchConfiguration("name"), value_type=str),
                "host": ParameterValue(LaunchConfiguration("dashboard_host"), value_type=str),
                "port": ParameterValue(LaunchConfiguration("dashboard_port"), value_type=int),
                "page": ParameterValue(LaunchConfiguration("dashboard"), value_type=bool),
                "results": ParameterValue(LaunchConfiguration("dashboard"), value_type=bool),
                "metrics": ParameterValue(LaunchConfiguration("metrics"), value_type=bool),
            }
        ],
        condition=IfCondition(
            OrSubstitution(LaunchConfiguration("dashboard"), LaunchConfiguration("metrics"))
        ),
        output="screen",
        emulate_tty=True,
    )
    profile = SetEnvironmentVariable(
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        LaunchConfiguration("fastdds_profile"),
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("fastdds_profile"), "")),
    )
    return LaunchDescription([*arguments, GroupAction([profile, node, page])])
