"""Reads how much memory there is, and how much time is lost for want of it."""

from __future__ import annotations

import re

from aegis_ros.host import Machine
from aegis_ros.memory import MemoryState

__all__ = ["MemoryMonitor"]

_CGROUPS = "/sys/fs/cgroup"
_RECLAIMABLE = ("inactive_file", "active_file", "slab_reclaimable")


class MemoryMonitor:
    """The machine's memory, or that of the control group (v2) with the smaller share left.

    On a board whose GPU uses the memory of its processor, that is the GPU's memory, too.

    Args:
        machine: whose files are read; this one if not given.
    """

    def __init__(self, machine: Machine | None = None) -> None:
        """Look for the control groups that this process is in."""
        self._machine = machine or Machine()
        own = re.search(r"^0::(/.*)$", self._machine.text("/proc/self/cgroup") or "", re.M)
        self._groups: list[str] = []
        path = own[1].rstrip("/") if own is not None else None
        while path is not None:
            folder = f"{_CGROUPS}{path}"
            if self._machine.exists(f"{folder}/memory.current"):
                self._groups.append(folder)
            path = path.rpartition("/")[0] if path else None

    def read(self, engine_pid: int = 0) -> MemoryState:
        """Return the state now; what cannot be read counts as not short.

        Args:
            engine_pid: process id of the engine; 0 for none.
        """
        machine = self._machine
        total, free = (machine.memory_kib(name) for name in ("MemTotal", "MemAvailable"))
        missing = []
        if total is None or free is None:
            missing.append("/proc/meminfo: how much is free is not known")
        rooms = [] if total is None or free is None else [(free * 1024, total * 1024, "machine")]
        rooms += [room for folder in self._groups if (room := self._room(folder)) is not None]
        # What must stay free is a share: 900 MiB are much of a group's 1 GiB, little of 64 GiB.
        rooms.sort(key=lambda room: room[0] / room[1] if room[1] else 0.0)
        available, limit, source = rooms[0] if rooms else (0, 0, "")
        stalled = self._stalled()
        if stalled is None:
            missing.append(
                "/proc/pressure/memory: stalls are not known (a kernel without CONFIG_PSI, or one "
                "that must be started with psi=1)"
            )
        swap = [machine.memory_kib(name) for name in ("SwapTotal", "SwapFree")]
        status = machine.text(f"/proc/{engine_pid}/status") or "" if engine_pid else ""
        return MemoryState(
            limit,
            available,
            stalled,
            max(0, (swap[0] or 0) - (swap[1] or 0)) * 1024,
            _of_status(status, "VmRSS"),
            _of_status(status, "VmSwap"),
            source,
            tuple(missing),
            tuple((room[0], room[1]) for room in rooms[1:]),
        )

    def _room(self, folder: str) -> tuple[int, int, str] | None:
        """Return what is available in a group, of how much; ``None`` where it has no limit."""
        number = self._machine.number
        limits = [number(f"{folder}/memory.{name}") for name in ("max", "high")]
        known = [each for each in limits if each is not None]
        used = number(f"{folder}/memory.current")
        if not known or used is None:
            return None
        limit = min(known)
        content = self._machine.text(f"{folder}/memory.stat") or ""
        back = sum(
            int(found[1])
            for name in _RECLAIMABLE
            if (found := re.search(rf"^{name} (\d{{1,18}})$", content, re.M)) is not None
        )
        name = folder.removeprefix(_CGROUPS) or "/"
        return max(0, min(limit, limit - used + back)), limit, f"control group {name}"

    def _stalled(self) -> float | None:
        """Return the larger share of this machine and of the group that this process is in."""
        files = ["/proc/pressure/memory", *(f"{each}/memory.pressure" for each in self._groups[:1])]
        found = [
            float(full[1]) / 100.0
            for file in files
            if (
                full := re.search(
                    r"^full avg10=(\d{1,3}\.\d+)", self._machine.text(file) or "", re.M
                )
            )
        ]
        return max(found, default=None)


def _of_status(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d{{1,15}}) kB", status, re.M)
    return int(found[1]) * 1024 if found is not None else 0
