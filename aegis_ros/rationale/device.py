"""The speed of the device, and what is shed and restored because of it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason

__all__ = ["DeviceSpeed", "RestoredForSpeed", "ShedForSpeed"]


@dataclass(frozen=True, slots=True)
class DeviceSpeed(Reason):
    """The device became slower or faster.

    Attributes:
        factor: its speed as a part of the nominal one, at most 1.
        source: where that was read.
        temperature_c: of the device, where it is known.
        shed: how many tasks are shed.
        decimated: how many tasks run with fewer frames than at nominal speed.
    """

    decision = Decision.INFORMED
    rule = Rule.DEVICE_SPEED

    factor: float
    source: str
    temperature_c: float | None
    shed: int
    decimated: int

    def tested(self) -> Inequality:
        """Return the speed against the nominal one."""
        return Inequality(self.factor, "<" if self.factor < 1.0 else "=", 1.0, "")


@dataclass(frozen=True, slots=True)
class ShedForSpeed(Reason):
    """A task is shed because the device is too slow for its lane.

    ``utilization_before`` is that of the lane at this speed with all its tasks,
    ``utilization_after`` that without what is shed.
    """

    decision = Decision.SHED
    rule = Rule.DEVICE_SPEED

    task: str
    criticality: str
    lane: str
    factor: float
    utilization_before: float
    utilization_after: float


@dataclass(frozen=True, slots=True)
class RestoredForSpeed(Reason):
    """A task runs again because the device has been fast enough for ``hold_ns``."""

    decision = Decision.RESTORED
    rule = Rule.DEVICE_SPEED

    task: str
    lane: str
    factor: float
    hold_ns: int
    margin: float
    utilization_after: float
