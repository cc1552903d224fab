"""Which backends can be used on this machine, and what the others lack."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aegis_ros.backends.registry import backend_names, create_backend
from aegis_ros.errors import AegisError

__all__ = ["Availability", "availability"]


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether one backend can be used here.

    Attributes:
        name: of the backend.
        device: what it would run on; empty where it cannot be used.
        missing: why it cannot be used, in a sentence; empty where it can.
    """

    name: str
    device: str = ""
    missing: str = ""


def availability(names: Iterable[str] = ()) -> tuple[Availability, ...]:
    """Create each installed backend, without opening it, and return the answers by name.

    Args:
        names: further names to try, such as those that a configuration asks for.
    """
    return tuple(_try(name) for name in sorted({*backend_names(), *names}))


def _try(name: str) -> Availability:
    try:
        return Availability(name, device=create_backend(name).device_name())
    except AegisError as error:
        return Availability(name, missing=str(error))
    except Exception as error:  # of another distribution's module; the other backends still count
        return Availability(name, missing=f"{type(error).__name__}: {error}")
