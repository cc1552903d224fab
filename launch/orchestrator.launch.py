"""Start the orchestrator node.

ros2 launch aegis_ros orchestrator.launch.py config:=/path/to/robot.yaml
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, NotEqualsSubstitution
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
    profile = SetEnvironmentVariable(
        "FASTRTPS_DEFAULT_PROFILES_FILE",
        LaunchConfiguration("fastdds_profile"),
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("fastdds_profile"), "")),
    )
    return LaunchDescription([*arguments, GroupAction([profile, node])])
