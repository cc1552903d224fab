"""Devices that compute nothing, for tests, benchmarks and planning."""
