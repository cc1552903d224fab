"""What the demonstration is made of: recorded sensor data and where it is found."""
