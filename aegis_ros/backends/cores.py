"""Finds lanes that are pinned to a core which this process cannot run on."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aegis_ros.backends.base import Backend
from aegis_ros.backends.lanes import busy_cores, lanes_by_backend
from aegis_ros.errors import ConfigError
from aegis_ros.host import core_text
from aegis_ros.spec import DeviceSpec

__all__ = ["absent_cores"]


def absent_cores(
    device: DeviceSpec, backends: Mapping[str, Backend], cores: Collection[int]
) -> list[ConfigError]:
    """Return a mistake for each lane whose core is none of a process.

    Such a lane would run wherever the kernel puts it, beside whatever runs there: a proof for a
    lane that has its core does not hold for it.

    Args:
        device: with its lanes.
        backends: by name, all that the lanes name.
        cores: that a thread can be pinned to.
    """
    found = []
    busy = busy_cores(device)
    for name, indices in lanes_by_backend(device.backend, device.lanes).items():
        on_cores = backends[name].capabilities.on_cores
        for index in indices:
            lane = device.lanes[index]
            if not on_cores and index not in busy:
                continue
            if lane.cpu is not None and lane.cpu not in cores:
                found.append(
                    ConfigError(
                        f"lane {lane.name} is pinned to a core that is not there, or that this "
                        "process may not use",
                        where=f"device.lanes[{index}].cpu",
                        value=lane.cpu,
                        expected=f"one of the cores {core_text(cores)}",
                        hint="`lscpu -e` lists those of the machine; a container may have fewer",
                    )
                )
    return found
