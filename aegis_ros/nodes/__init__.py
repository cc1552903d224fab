"""The ROS floor: nodes, and messages to and from plain data. Only here is rclpy imported."""
