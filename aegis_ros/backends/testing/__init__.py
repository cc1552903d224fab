"""Devices that compute nothing, for tests and planning, and what every backend is held to."""
