"""Start the orchestrator node, and its live page and chat API where asked for.

ros2 launch aegis_ros orchestrator.launch.py config:=/path/to/robot.yaml
"""

from launch import LaunchDescription
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, OrSubstitution

from aegis_ros.nodes.launching import checked, declare, for_large_images, start


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and the nodes."""
    served = OrSubstitution(LaunchConfiguration("dashboard"), LaunchConfiguration("metrics"))
    return LaunchDescription(
        [
            *declare("config", name="orchestrator"),
            *declare("namespace", "enclave", "autostart", "state_dir"),
            *declare("dashboard", "dashboard_host", "dashboard_port", "metrics"),
            *declare("dashboard_token_file"),
            *declare("chat", "chat_host", "chat_port", "chat_token_file"),
            *declare("use_sim_time", "log_level", "fastdds_profile"),
            checked(),
            for_large_images(
                start("orchestrator", name=LaunchConfiguration("name")),
                start("dashboard", condition=IfCondition(served)),
                start("chat", condition=IfCondition(LaunchConfiguration("chat"))),
            ),
        ]
    )
