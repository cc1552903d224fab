"""Cases from public bug reports of people who run networks in ROS 2; README.md lists them."""
