"""The baseline: subscribes raw to the camera and publishes a small message for every image.

    python -m benchmarks.ros.bare [TOPIC]

The message is how many milliseconds passed between the image's stamp and its own publication.
"""

from __future__ import annotations

import struct
import sys
import time

import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Float64

from aegis_ros.nodes.allocator import tune_allocator
from benchmarks.ros.camera import TOPIC

ANSWER = "/bare/answer"


def main() -> None:
    """Republish until killed."""
    topic = sys.argv[1] if len(sys.argv) > 1 else TOPIC
    tune_allocator()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("bare")
    publisher = node.create_publisher(Float64, ANSWER, 10)

    def answer(raw: bytes) -> None:
        sec, nanosec = struct.unpack_from("<iI", raw, 4)  # the stamp is what an Image begins with
        publisher.publish(Float64(data=time.time() * 1e3 - sec * 1e3 - nanosec / 1e6))

    node.create_subscription(Image, topic, answer, qos_profile_sensor_data, raw=True)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
