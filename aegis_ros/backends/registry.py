"""Finds backends by name: ours, and those other distributions offer."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from aegis_ros.backends.base import Backend
from aegis_ros.errors import ConfigError

__all__ = ["backend_names", "create_backend"]

_GROUP = "aegis_ros.backends"
_OURS = {
    "onnxruntime": "aegis_ros.backends.onnxruntime:OnnxRuntimeBackend",
    "simulated": "aegis_ros.backends.testing.simulated:SimulatedBackend",
    "tensorrt": "aegis_ros.backends.tensorrt:TensorRtBackend",
}


def backend_names() -> list[str]:
    """Return the names of all backends that can be created."""
    return sorted({*_OURS, *(point.name for point in entry_points(group=_GROUP))})


def create_backend(name: str) -> Backend:
    """Return a new backend.

    Raises:
        ConfigError: there is none of that name.
        BackendError: what it needs is not there; one sentence says how to get it.
    """
    if name in _OURS:
        module, attribute = _OURS[name].split(":")
        backend: Backend = getattr(import_module(module), attribute)()
        return backend
    for point in entry_points(group=_GROUP):
        if point.name == name:
            made: Backend = point.load()()
            return made
    raise ConfigError(
        "there is no such backend",
        where="device.backend",
        value=name,
        expected="one of " + ", ".join(backend_names()),
        hint=f"Install a distribution that offers it (entry point group {_GROUP})",
    )
