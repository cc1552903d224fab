"""Start the orchestrator on the demo's networks, and replay the demo's recordings to it.

ros2 launch aegis_ros demo.launch.py          and in another terminal:  ros2 run aegis_ros monitor
"""

from launch import LaunchDescription
from launch.substitutions import LaunchConfiguration

from aegis_ros.nodes.launching import declare, include, share


def generate_launch_description() -> LaunchDescription:
    """Return both launch files with the demo's configuration."""
    common = {
        "log_level": LaunchConfiguration("log_level"),
        "enclave": LaunchConfiguration("enclave"),
    }
    return LaunchDescription(
        [
            *declare(
                "log_level",
                "enclave",
                config=share("config/demo.yaml"),
                replay_config=share("config/demo_replay.yaml"),
            ),
            include("orchestrator.launch.py", config=LaunchConfiguration("config"), **common),
            # An argument given to one included file stays set for the next: give each its own.
            include(
                "replay.launch.py",
                config=LaunchConfiguration("replay_config"),
                name="replay",
                **common,
            ),
        ]
    )
