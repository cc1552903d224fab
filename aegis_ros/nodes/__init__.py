"""The ROS floor: nodes, and messages to and from plain data. Only this package imports rclpy."""
