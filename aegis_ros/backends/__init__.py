"""Runtimes that load networks and run segments on lanes, behind one protocol."""

from aegis_ros.backends.base import (
    Backend,
    Capabilities,
    CompiledNetwork,
    Completion,
    Ended,
    LoadedNetwork,
    Part,
    Work,
)
from aegis_ros.backends.registry import backend_names, capabilities_of, create_backend

__all__ = [
    "Backend",
    "Capabilities",
    "CompiledNetwork",
    "Completion",
    "Ended",
    "LoadedNetwork",
    "Part",
    "Work",
    "backend_names",
    "capabilities_of",
    "create_backend",
]
