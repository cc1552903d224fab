"""Times the node over real DDS, against the least that any rclpy node would take."""
