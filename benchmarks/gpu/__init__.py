"""The same networks on one GPU in four ways, without ROS: who is late, and what sharing costs."""
