"""What the terminal, the monitor and the page share of how things are shown."""
