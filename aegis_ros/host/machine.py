"""Reads the files in which Linux describes a machine, below a root that tests can put elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Machine", "Needs", "core_list", "core_text"]

_MAX_BYTES = 256 * 1024  # files below /proc/sys cannot be read with buffers of megabytes
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True, slots=True)
class Needs:
    """What is to run on the machine.

    Attributes:
        cores: that lanes are pinned to; empty where none is.
        priority: SCHED_FIFO priority of the engine, 0 for none.
    """

    cores: tuple[int, ...] = ()
    priority: int = 40


@dataclass(frozen=True)
class Machine:
    """A machine as its files describe it.

    Attributes:
        root: where ``proc``, ``sys`` and ``etc`` are.
        environment: variables of the process that is to be examined.
    """

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=dict)

    def text(self, path: str) -> str | None:
        """Return what a file says, without white space around it; ``None`` where it cannot be."""
        try:
            with (self.root / path.lstrip("/")).open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", "replace").strip()
        except OSError:
            return None

    def writable(self, path: str) -> bool:
        """Return whether this process may write to a file or device."""
        return os.access(self.root / path.lstrip("/"), os.W_OK)

    def number(self, path: str) -> int | None:
        """Return the whole number that a file says; ``None`` where it says none."""
        text = self.text(path)
        return int(text) if text and re.fullmatch(r"[+-]?\d{1,18}", text) else None

    def numbers(self, pattern: str) -> dict[str, int]:
        """Return the numbers of all files of a pattern, by path from the root."""
        found = {}
        for path in self.paths(pattern):
            value = self.number(path)
            if value is not None:
                found[path] = value
        return found

    def paths(self, pattern: str) -> list[str]:
        """Return the files of a pattern, from the root, sorted."""
        try:
            found = sorted(self.root.glob(pattern.lstrip("/")))
        except OSError:
            return []
        return [f"/{path.relative_to(self.root)}" for path in found]

    def exists(self, path: str) -> bool:
        """Return whether there is such a file."""
        try:
            return (self.root / path.lstrip("/")).exists()
        except OSError:
            return False

    def cores(self) -> tuple[int, ...]:
        """Return the cores that this process may run on."""
        found = re.search(
            r"^Cpus_allowed_list:\s*(\S+)", self.text("/proc/self/status") or "", re.M
        )
        return core_list(found[1] if found else self.text("/sys/devices/system/cpu/online"))

    def capable(self, bit: int) -> bool:
        """Return whether this process has a capability, by its number (capabilities(7))."""
        found = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", self.text("/proc/self/status") or "", re.M)
        return found is not None and bool(int(found[1], 16) >> bit & 1)

    def limit(self, name: str) -> float | None:
        """Return a soft limit of this process by its name in /proc/self/limits."""
        pattern = rf"^{re.escape(name)}\s+(\d+|unlimited)\s"
        found = re.search(pattern, self.text("/proc/self/limits") or "", re.M)
        if found is None:
            return None
        return float("inf") if found[1] == "unlimited" else float(found[1])

    def memory_kib(self, name: str) -> int | None:
        """Return a figure of /proc/meminfo by its name, such as ``MemTotal``."""
        found = re.search(rf"^{name}:\s*(\d+) kB", self.text("/proc/meminfo") or "", re.M)
        return int(found[1]) if found is not None else None

    def mounted_bytes(self, where: str) -> int | None:
        """Return the size of a tmpfs; ``None`` where nothing of known size is mounted there."""
        for line in (self.text("/proc/mounts") or "").splitlines():
            parts = line.split()
            if len(parts) < 4 or parts[1] != where:
                continue
            found = re.search(r"(?:^|,)size=(\d+)([kmg]?)(?:,|$)", parts[3])
            if found is not None:
                return int(found[1]) * _UNITS[found[2]]
            total = self.memory_kib("MemTotal")
            return total * 512 if total is not None else None  # half of the memory by default
        return None

    def in_container(self) -> bool:
        """Return whether this is one of Docker or Podman."""
        return self.exists("/.dockerenv") or self.exists("/run/.containerenv")

    def is_jetson(self) -> bool:
        """Return whether this is an NVIDIA Jetson."""
        return self.exists("/etc/nv_tegra_release")

    def kernel(self) -> tuple[int, int]:
        """Return major and minor version of the kernel; zeros where unknown."""
        found = re.match(r"(\d+)\.(\d+)", self.text("/proc/sys/kernel/osrelease") or "")
        return (int(found[1]), int(found[2])) if found else (0, 0)


def core_list(text: str | None) -> tuple[int, ...]:
    """Return the cores of a list such as ``0-3,5``; empty for what is none."""
    cores: list[int] = []
    for part in (text or "").split(","):
        found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part.strip())
        if found is not None:
            cores.extend(range(int(found[1]), int(found[2] or found[1]) + 1))
    return tuple(cores)


def core_text(cores: Iterable[int]) -> str:
    """Return cores as the kernel writes them: 0-3,5."""
    spans: list[list[int]] = []
    for core in sorted(cores):
        if spans and core == spans[-1][1] + 1:
            spans[-1][1] = core
        else:
            spans.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
