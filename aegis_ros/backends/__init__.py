"""Runtimes that load networks and run segments on lanes, behind one protocol."""

from aegis_ros.backends.base import Backend, CompiledNetwork, Completion, Ended, LoadedNetwork
from aegis_ros.backends.registry import backend_names, create_backend

__all__ = [
    "Backend",
    "CompiledNetwork",
    "Completion",
    "Ended",
    "LoadedNetwork",
    "backend_names",
    "create_backend",
]
