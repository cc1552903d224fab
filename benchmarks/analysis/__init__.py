"""Speed of the proof, how much it accepts, and how it compares with others."""
