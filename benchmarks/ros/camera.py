"""A camera in a process of its own: images of one size, stamped when they are published.

python -m benchmarks.ros.camera HEIGHT WIDTH RATE_HZ
"""

from __future__ import annotations

import sys
import time

import rclpy
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

TOPIC = "/camera/image_raw"


def main() -> None:
    """Publish until killed."""
    height, width, rate = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(Image, TOPIC, qos_profile_sensor_data)
    image = Image(height=height, width=width, encoding="rgb8", step=width * 3)
    image.data = bytes(height * width * 3)
    clock, due = node.get_clock(), time.monotonic()
    while True:
        image.header.stamp = clock.now().to_msg()
        publisher.publish(image)
        due += 1.0 / rate
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
