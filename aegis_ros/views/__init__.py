"""How tasks, lanes and verdicts are shown in a terminal, shared by commands and the monitor."""
