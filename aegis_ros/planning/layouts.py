"""The ways to divide a device that `lanes: auto` chooses among."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from aegis_ros.backends import Backend, Capabilities, capabilities_of
from aegis_ros.spec import DeviceSpec, LaneSpec

__all__ = ["MOST_LANES", "LaneLayout", "layouts_of", "with_most_lanes"]

MOST_LANES = 4
_UNEVEN = 4  # of two lanes with unlike shares, the first has one part of so many


@dataclass(frozen=True)
class LaneLayout:
    """One way to divide a device.

    Attributes:
        label: names it in sentences.
        device: with these lanes.
    """

    label: str
    device: DeviceSpec


def layouts_of(device: DeviceSpec, backend: Backend, cores: Collection[int]) -> list[LaneLayout]:
    """Return one lane and several, as many as there are cores or streams worth having.

    On cores, each lane has one of its own, the last ones first: the kernel and interrupts prefer
    the others. On a device that can be divided, lanes share all of it, or have equal parts, or a
    small part and the rest.

    Args:
        device: what its lanes have in common.
        backend: of all lanes.
        cores: that a thread can be pinned to; at least one.
    """
    found = _undivided(device, backend.capabilities, cores)
    if backend.capabilities.partitions:
        found += [
            _layout(device, f"{_shares(parts)} multiprocessors", _divided(parts))
            for parts in _partings(multiprocessors_of(backend))
        ]
    return found


def with_most_lanes(device: DeviceSpec, cores: Collection[int]) -> DeviceSpec:
    """Return a device whose lanes are to be chosen with as many as it may get, else as it is.

    For whoever asks what networks may run on, and not for the best place of each.

    Raises:
        ConfigError: there is no such backend.
    """
    if device.lanes:
        return device
    return _undivided(device, capabilities_of(device.backend), cores)[-1].device


def _undivided(
    device: DeviceSpec, capabilities: Capabilities, cores: Collection[int]
) -> list[LaneLayout]:
    if capabilities.on_cores:
        own = sorted(cores)
        return [
            _layout(device, "", [LaneSpec("", cpu) for cpu in own[-count:]])
            for count in range(1, min(MOST_LANES, len(own)) + 1)
        ]
    return [_layout(device, "", [LaneSpec("")] * count) for count in range(1, MOST_LANES + 1)]


def multiprocessors_of(backend: Backend) -> int:
    """Return how many multiprocessors a backend's device has; 0 where that is not known."""
    asked = getattr(backend, "multiprocessors", None)
    return 0 if asked is None else int(asked())


def _partings(sms: int) -> list[tuple[int, ...]]:
    """Return the multiprocessors of each lane, the last of which gets what is left."""
    found = [
        (*(sms // count,) * (count - 1), sms - sms // count * (count - 1))
        for count in range(2, MOST_LANES + 1)
    ]
    found.insert(1, (sms // _UNEVEN, sms - sms // _UNEVEN))
    return [each for each in found if min(each) >= 1]


def _divided(parts: tuple[int, ...]) -> list[LaneSpec]:
    return [*(LaneSpec("", None, each) for each in parts[:-1]), LaneSpec("")]


def _shares(parts: tuple[int, ...]) -> str:
    *first, last = (str(each) for each in parts)
    return f"{', '.join(first)} and {last}"


def _layout(device: DeviceSpec, shares: str, lanes: list[LaneSpec]) -> LaneLayout:
    one = len(lanes) == 1
    named = tuple(
        replace(each, name="main" if one else f"lane{index}") for index, each in enumerate(lanes, 1)
    )
    label = "1 lane" if one else f"{len(lanes)} lanes"
    label += f" of {shares}" if shares else ""
    return LaneLayout(label, replace(device, lanes=named))
