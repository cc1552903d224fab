"""The baseline: a node that does nothing but answer, in a process of its own.

python -m benchmarks.answers.bare
"""

from __future__ import annotations

import rclpy
from aegis_ros.srv import ListModels
from rclpy.signals import SignalHandlerOptions

from aegis_ros.nodes.allocator import tune_allocator

SERVICE = "/bare/answer"


def main() -> None:
    """Answer until killed."""
    tune_allocator()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("bare")
    node.create_service(ListModels, SERVICE, lambda request, response: response)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
