"""How fast results come again after the engine was killed."""
