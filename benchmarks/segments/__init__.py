"""What it costs to run a network in segments."""
