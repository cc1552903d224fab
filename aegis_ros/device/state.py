"""The state of a device, and the protocol of its readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["DeviceMonitor", "DeviceState"]


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device at one moment.

    Attributes:
        clock_factor: its speed over the nominal one, above 0 and at most 1.
        temperature_c: of its hottest part, ``None`` where unknown.
        throttled: whether it holds itself back, because of heat or power.
        source: where this was read, for people.
        uncorrected_errors: of its memory, since monitoring began; 0 where unknown.
        details: further readings (clock, power, memory …), for people, by name.
    """

    clock_factor: float = 1.0
    temperature_c: float | None = None
    throttled: bool = False
    source: str = ""
    uncorrected_errors: int = 0
    details: Mapping[str, str] = field(default_factory=dict)


class DeviceMonitor(Protocol):
    """Tells the state of a device; cheap enough for once a second."""

    def read(self) -> DeviceState:
        """Return the state now; where something cannot be read, the device counts as nominal."""
        ...
