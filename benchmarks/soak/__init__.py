"""Hurts a running robot for an hour, and holds against it what was lost, late or leaked."""
