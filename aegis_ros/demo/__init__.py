"""Data of the demo: recorded camera frames and lidar scans, and where to find them."""
