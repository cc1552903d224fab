"""Start the orchestrator on the demo's networks, and replay the demo's recordings to it.

ros2 launch aegis_ros demo.launch.py          and in another terminal:  ros2 run aegis_ros monitor
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration


def generate_launch_description() -> LaunchDescription:
    """Return both launch files with the demo's configuration."""
    share = Path(get_package_share_directory("aegis_ros"))
    arguments = [
        DeclareLaunchArgument(
            "config",
            default_value=str(share / "config" / "demo.yaml"),
            description="YAML file of the orchestrator",
        ),
        DeclareLaunchArgument(
            "replay_config",
            default_value=str(share / "config" / "demo_replay.yaml"),
            description="YAML file of the replay node",
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="of both nodes"),
    ]
    common = {"log_level": LaunchConfiguration("log_level")}
    orchestrator = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "orchestrator.launch.py")),
        launch_arguments={"config": LaunchConfiguration("config"), **common}.items(),
    )
    # An argument given to one included file stays set for the next: give each its own config.
    replay = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(share / "launch" / "replay.launch.py")),
        launch_arguments={
            "config": LaunchConfiguration("replay_config"),
            "name": "replay",
            **common,
        }.items(),
    )
    return LaunchDescription([*arguments, orchestrator, replay])
