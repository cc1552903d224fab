"""Play recordings (pictures, videos, lidar sweeps, bags) as ROS topics.

ros2 launch aegis_ros replay.launch.py config:=/path/to/replay.yaml
"""

from launch import LaunchDescription
from launch.substitutions import LaunchConfiguration

from aegis_ros.nodes.launching import checked, declare, for_large_images, start


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the node."""
    return LaunchDescription(
        [
            *declare(config=None, name="replay"),
            *declare("namespace", "enclave", "log_level", "fastdds_profile"),
            checked(),
            for_large_images(start("replay", name=LaunchConfiguration("name"))),
        ]
    )
