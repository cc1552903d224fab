"""What generators come to in the slack of a lane, and what adapting them is worth."""
