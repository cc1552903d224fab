"""Reads what a measurement must know of the machine: clocks, kernel, versions, other load."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from aegis_ros import __version__

__all__ = ["cpu_shares", "cpu_times", "describe_machine"]

_COUNTERS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def describe_machine(root: Path = Path("/"), distributions: Iterable[str] = ()) -> dict[str, str]:
    """Return names and values for people; what cannot be read is left out.

    Args:
        root: where ``proc`` and ``sys`` lie.
        distributions: installed distributions whose versions are noted.
    """
    cpu = root / "sys/devices/system/cpu"
    found = {
        "host": platform.node(),
        "processor": _of_cpuinfo(root, ("model name", "hardware")),
        "cores": str(os.cpu_count() or ""),
        "kernel": platform.release(),
        "governor": _one_of(_texts(cpu.glob("cpu[0-9]*/cpufreq/scaling_governor"))),
        "clock_mhz": _clock(root, cpu),
        "load_1min": _first(root / "proc/loadavg").split(" ")[0],
        "aegis_ros": __version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in (*distributions, "numpy")},
    }
    return {name: value for name, value in found.items() if value}


def cpu_times(root: Path = Path("/")) -> dict[str, int]:
    """Return what all cores together did since boot, in ticks; nothing where that is unknown."""
    line = _first(root / "proc/stat")
    values = line.split()[1 : 1 + len(_COUNTERS)] if line.startswith("cpu ") else []
    return {name: int(value) for name, value in zip(_COUNTERS, values, strict=False)}


def cpu_shares(before: dict[str, int], after: dict[str, int]) -> dict[str, str]:
    """Return how much of all cores was used, and how much was taken by other virtual machines."""
    spent = {name: after[name] - before.get(name, 0) for name in after}
    total = sum(spent.values())
    if total <= 0 or "steal" not in spent:
        return {}
    busy = total - spent["idle"] - spent["iowait"] - spent["steal"]
    return {"busy": f"{busy / total:.1%}", "stolen": f"{spent['steal'] / total:.1%}"}


def _first(path: Path) -> str:
    try:
        return path.read_text().split("\n", 1)[0].strip()
    except (OSError, ValueError):
        return ""


def _texts(paths: Iterable[Path]) -> list[str]:
    return [text for path in sorted(paths) if (text := _first(path))]


def _one_of(texts: list[str]) -> str:
    return ", ".join(dict.fromkeys(texts))


def _of_cpuinfo(root: Path, names: tuple[str, ...]) -> str:
    found = _all_of_cpuinfo(root, names)
    return found[0] if found else platform.machine()


def _all_of_cpuinfo(root: Path, names: tuple[str, ...]) -> list[str]:
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except (OSError, ValueError):
        return []
    return [
        line.split(":", 1)[1].strip()
        for line in lines
        if ":" in line and line.lower().startswith(names)
    ]


def _clock(root: Path, cpu: Path) -> str:
    """Return the clock of each core now; a virtual machine reports its nominal one."""
    kilohertz = _texts(cpu.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
    if kilohertz:
        return ", ".join(f"{int(text) / 1e3:.0f}" for text in kilohertz if text.isdigit())
    return ", ".join(f"{float(text):.0f}" for text in _all_of_cpuinfo(root, ("cpu mhz",)))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
