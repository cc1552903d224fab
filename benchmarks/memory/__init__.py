"""Times networks whose weights do not all fit the memory, and holds them to what they may take."""
