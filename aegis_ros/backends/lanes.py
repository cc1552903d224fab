"""Lane classes: the lanes of a device on which a step has the same budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aegis_ros.backends.base import Backend
from aegis_ros.backends.registry import backend_name, create_backend
from aegis_ros.spec import DeviceSpec, LaneSpec

__all__ = ["LaneClass", "create_backends", "lane_classes", "lanes_by_backend"]


@dataclass(frozen=True, slots=True)
class LaneClass:
    """Lanes with the same backend, the same device and the same share of it.

    Attributes:
        backend: name of their backend.
        share: which part of a divided device each has, in words; empty where none is divided.
        lanes: their names, in the order of the configuration; at least one.
        first: index of the first of them among all lanes: what is measured for the class is
            measured there.
    """

    backend: str
    share: str
    lanes: tuple[str, ...]
    first: int

    @property
    def label(self) -> str:
        """Names the class in sentences: its lanes."""
        return ", ".join(self.lanes)


def lanes_by_backend(default: str, lanes: Sequence[LaneSpec]) -> dict[str, tuple[int, ...]]:
    """Return, by name of a backend, the indices of its lanes, in the order of the lanes.

    Args:
        default: backend of lanes that name none; empty for the default of all.
        lanes: of the whole device.
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, lane in enumerate(lanes):
        name = backend_name(lane.backend or default)
        found[name] = (*found.get(name, ()), index)
    return found


def lane_classes(device: DeviceSpec) -> tuple[LaneClass, ...]:
    """Return the classes of a device's lanes, in the order of their first lanes."""
    found: list[LaneClass] = []
    for name, indices in lanes_by_backend(device.backend, device.lanes).items():
        own = [device.lanes[index] for index in indices]
        divided = sum(lane.sms for lane in own if lane.sms is not None)
        shares: dict[str, list[int]] = {}
        for index, lane in zip(indices, own, strict=True):
            shares.setdefault(_share(lane, divided), []).append(index)
        found += [
            LaneClass(name, share, tuple(device.lanes[each].name for each in of), of[0])
            for share, of in shares.items()
        ]
    return tuple(sorted(found, key=lambda each: each.first))


def create_backends(device: DeviceSpec) -> dict[str, Backend]:
    """Return a new backend for each name that a device's lanes have.

    Raises:
        ConfigError: there is none of that name, or it cannot have such lanes.
        BackendError: what it needs is not there; one sentence says how to get it.
    """
    created = {}
    for name, indices in lanes_by_backend(device.backend, device.lanes).items():
        own = all(device.lanes[index].backend for index in indices)
        where = f"device.lanes[{indices[0]}].backend" if own else "device.backend"
        lanes = [device.lanes[index] for index in indices]
        created[name] = create_backend(name, lanes, where=where)
    return created


def _share(lane: LaneSpec, divided: int) -> str:
    if lane.sms is not None:
        return f"{lane.sms} multiprocessors"
    return f"what {divided} multiprocessors leave" if divided else ""
