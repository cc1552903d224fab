"""Lane classes: the lanes of a device on which a step has the same budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aegis_ros.backends.base import Backend
from aegis_ros.backends.registry import backend_name, capabilities_of, create_backend
from aegis_ros.errors import ConfigError
from aegis_ros.spec import DeviceSpec, LaneSpec, Wait

__all__ = [
    "LaneClass",
    "busy_cores",
    "create_backends",
    "lane_classes",
    "lanes_by_backend",
    "lanes_on_one_core",
    "lanes_to_open",
]


@dataclass(frozen=True, slots=True)
class LaneClass:
    """Lanes with the same backend, the same device, the same share of it and one way to wait.

    Attributes:
        backend: name of their backend.
        share: which part of a divided device each has, in words; empty where none is divided.
        waits: how their threads wait for the device; ``sleep`` where they never do.
        lanes: their names, in the order of the configuration; at least one.
        first: index of the first of them among all lanes: what is measured for the class is
            measured there.
    """

    backend: str
    share: str
    waits: Wait
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
    lanes = lanes_to_open(device)
    found: list[LaneClass] = []
    for name, indices in lanes_by_backend(device.backend, lanes).items():
        own = [lanes[index] for index in indices]
        divided = sum(lane.sms for lane in own if lane.sms is not None)
        kinds: dict[tuple[str, Wait], list[int]] = {}
        for index, lane in zip(indices, own, strict=True):
            kind = _share(lane, divided), lane.wait or Wait.SLEEP
            kinds.setdefault(kind, []).append(index)
        found += [
            LaneClass(name, *kind, tuple(lanes[each].name for each in of), of[0])
            for kind, of in kinds.items()
        ]
    return tuple(sorted(found, key=lambda each: each.first))


def lanes_to_open(device: DeviceSpec) -> tuple[LaneSpec, ...]:
    """Return a device's lanes as a backend opens them: each with the way its thread waits.

    ``auto`` stands where the lane has its core to itself, and is ``sleep`` elsewhere: a thread that
    spins takes the core from whoever else is on it.
    """
    if device.wait is Wait.SLEEP and not any(lane.wait for lane in device.lanes):
        return tuple(replace(lane, wait=Wait.SLEEP) for lane in device.lanes)
    opened = []
    cores = [lane.cpu for lane in device.lanes]
    for lane in device.lanes:
        wait = lane.wait or device.wait
        shared = device.shared if lane.shared is None else lane.shared
        owns = lane.cpu is not None and cores.count(lane.cpu) == 1 and not shared
        if not _waits(device, lane) or (wait is Wait.AUTO and not owns):
            wait = Wait.SLEEP
        opened.append(replace(lane, wait=wait))
    return tuple(opened)


def busy_cores(device: DeviceSpec) -> dict[int, int]:
    """Return, by index of a lane, the core that its thread keeps busy while a device computes."""
    return {
        index: lane.cpu
        for index, lane in enumerate(lanes_to_open(device))
        if lane.cpu is not None and lane.wait is not Wait.SLEEP
    }


def lanes_on_one_core(device: DeviceSpec) -> list[ConfigError]:
    """Return a mistake for each lane on the core of an earlier one, where one of both computes.

    One of two such lanes runs when the other has ended a segment, whatever its priority. No budget
    and no proof counts that: each lane has its core to itself there.

    Threads that sleep while a GPU computes may have a core in common. They need it to hand work
    over, which is part of what networks of a GPU are measured to take beside each other.

    Raises:
        ConfigError: there is no such backend.
        BackendError: it says nothing of itself.
    """
    lanes, found = device.lanes, []
    computing = set(busy_cores(device))
    for name, indices in lanes_by_backend(device.backend, lanes).items():
        if capabilities_of(name).on_cores:
            computing.update(indices)
    for index, lane in enumerate(lanes):
        for at, other in enumerate(lanes[:index]):
            if other.cpu == lane.cpu is not None and not computing.isdisjoint((at, index)):
                found.append(
                    ConfigError(
                        f"lane {lane.name} is pinned to the core of lane {other.name} "
                        f"(device.lanes[{at}]), and the proof of each counts on having it alone",
                        where=f"device.lanes[{index}].cpu",
                        value=lane.cpu,
                        expected="a core of its own",
                        hint=f"Choose another core, or run its tasks on lane {other.name}: the "
                        "tasks of one lane take turns, and the proof counts all of them",
                    )
                )
                break
    return found


def create_backends(device: DeviceSpec) -> dict[str, Backend]:
    """Return a new backend for each name that a device's lanes have.

    Raises:
        ConfigError: there is none of that name, or it cannot have such lanes.
        BackendError: what it needs is not there; one sentence says how to get it.
    """
    _require_waiting(device)
    _require_tf32(device)
    created = {}
    for name, indices in lanes_by_backend(device.backend, device.lanes).items():
        own = all(device.lanes[index].backend for index in indices)
        where = f"device.lanes[{indices[0]}].backend" if own else "device.backend"
        lanes = [device.lanes[index] for index in indices]
        created[name] = create_backend(name, lanes, where=where, tf32=device.tf32)
    if mistakes := lanes_on_one_core(device):
        from aegis_ros.config import together  # what an engine has no use for

        raise together(mistakes, "device.lanes")
    return created


def _waits(device: DeviceSpec, lane: LaneSpec) -> bool:
    """Return whether a lane's thread ever waits for a device."""
    return capabilities_of(lane.backend or device.backend).waits


def _require_waiting(device: DeviceSpec) -> None:
    """Refuse a way to wait where nothing waits.

    Raises:
        ConfigError: names the key.
    """
    for index, lane in enumerate(device.lanes):
        if lane.wait not in {None, Wait.SLEEP} and not _waits(device, lane):
            raise _idle_key(f"device.lanes[{index}].wait", lane.wait)
    if device.wait is not Wait.SLEEP and not any(_waits(device, lane) for lane in device.lanes):
        raise _idle_key("device.wait", device.wait)


def _require_tf32(device: DeviceSpec) -> None:
    """Refuse to allow TF32 where nothing has it.

    Raises:
        ConfigError: names the key.
    """
    names = lanes_by_backend(device.backend, device.lanes)
    if device.tf32 and not any(capabilities_of(name).tf32 for name in names):
        raise ConfigError(
            "has no effect on lanes that compute on their own core",
            where="device.tf32",
            value=True,
            expected="it left out, or a backend that computes on a GPU",
            hint="Remove it, or use backend tensorrt or onnxruntime_cuda",
        )


def _idle_key(where: str, wait: Wait | None) -> ConfigError:
    return ConfigError(
        "has no effect on lanes that compute on their own core",
        where=where,
        value=wait,
        expected="it left out, or a backend that computes on a GPU",
        hint="Remove it, or use backend tensorrt or onnxruntime_cuda",
    )


def _share(lane: LaneSpec, divided: int) -> str:
    if lane.sms is not None:
        return f"{lane.sms} multiprocessors"
    return f"what {divided} multiprocessors leave" if divided else ""
