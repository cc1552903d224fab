"""Play recordings (pictures, videos, lidar sweeps, bags) as ROS topics.

ros2 launch aegis_ros replay.launch.py config:=/path/to/replay.yaml
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
        DeclareLaunchArgument("config", description="YAML file: which recordings on which topics"),
        DeclareLaunchArgument("name", default_value="replay", description="node name"),
        DeclareLaunchArgument("namespace", default_value="", description="node namespace"),
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
            description="Fast DDS profile: the publisher's decides whether large images arrive; "
            "empty: leave the environment as it is",
        ),
    ]
    node = Node(
        package="aegis_ros",
        executable="replay",
        name=LaunchConfiguration("name"),
        namespace=LaunchConfiguration("namespace"),
        parameters=[{"config": ParameterValue(LaunchConfiguration("config"), value_type=str)}],
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
