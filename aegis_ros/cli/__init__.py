"""People's way in from a terminal."""
