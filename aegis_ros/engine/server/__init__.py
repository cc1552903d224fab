"""Inside the engine process: the loop that runs jobs, and the control thread beside it."""
