"""Reads clocks and heat of processors and of Jetson boards from /sys."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.device.state import DeviceState
from aegis_ros.host import Machine

__all__ = ["CpuMonitor", "JetsonMonitor"]

_LEAST_FACTOR = 0.01
_NOMINAL = 0.99
_ABSURD_C = 200.0


class CpuMonitor:
    """The cores' clocks from cpufreq.

    A core that has little to do lowers its clock by itself, which slows nothing down; so what
    counts is the limit that heat or power put on the clock, and where the governor is
    ``performance``, the clock itself. The nominal clock is the base frequency where the processor
    has one (with boost on, budgets must have been measured warm), else the largest.

    Args:
        machine: whose files are read.
        cores: those of the lanes; empty for all.
    """

    def __init__(self, machine: Machine, cores: Sequence[int] = ()) -> None:
        """Look for the cores that tell their clock."""
        self._machine = machine
        folders = [f"/sys/devices/system/cpu/cpu{core}/cpufreq" for core in sorted(set(cores))]
        self._folders = folders or machine.paths("/sys/devices/system/cpu/cpu[0-9]*/cpufreq")

    def read(self) -> DeviceState:
        """Return the slowest core's share of its nominal clock."""
        number, text = self._machine.number, self._machine.text
        factors = []
        for folder in self._folders:
            nominal = number(f"{folder}/base_frequency") or number(f"{folder}/cpuinfo_max_freq")
            clocks = [number(f"{folder}/scaling_max_freq")]
            if text(f"{folder}/scaling_governor") == "performance":
                clocks.append(number(f"{folder}/scaling_cur_freq"))
            known = [clock for clock in clocks if clock and clock > 0]
            if nominal and nominal > 0 and known:
                factors.append(min(known) / nominal)
        factor = _clamped(min(factors, default=1.0))
        return DeviceState(
            factor,
            _hottest(self._machine),
            _cooled(self._machine),
            "cpufreq" if factors else "no cpufreq: taken as nominal",
        )


class JetsonMonitor:
    """The clock of a Jetson's GPU from devfreq, and its thermal zones.

    Args:
        machine: whose files are read.
    """

    def __init__(self, machine: Machine) -> None:
        """Look for the GPU."""
        self._machine = machine
        self._folder = next(
            (
                folder
                for kind in ("gpu", "ga10b", "gv11b", "gp10b", "gm20b")
                for folder in machine.paths(f"/sys/class/devfreq/*{kind}*")
            ),
            "",
        )

    @property
    def present(self) -> bool:
        """Whether there is such a GPU."""
        return bool(self._folder)

    def read(self) -> DeviceState:
        """Return the GPU's limit over its largest clock; the clock itself where it is fixed."""
        number, text = self._machine.number, self._machine.text
        possible = text(f"{self._folder}/available_frequencies") or ""
        clocks = [int(item) for item in possible.split() if item.isdigit() and len(item) < 19]
        limit = number(f"{self._folder}/max_freq")
        nominal = max(clocks, default=limit or 0)
        known = [limit]
        if limit and number(f"{self._folder}/min_freq") == limit:  # as jetson_clocks sets it
            known.append(number(f"{self._folder}/cur_freq"))
        found = [clock for clock in known if clock and clock > 0]
        factor = min(found) / nominal if found and nominal > 0 else 1.0
        return DeviceState(
            _clamped(factor),
            _hottest(self._machine, "gpu") or _hottest(self._machine),
            _cooled(self._machine),
            f"devfreq {self._folder.rpartition('/')[2]}" if found else "no devfreq: nominal",
            details=self._details(),
        )

    def _details(self) -> dict[str, str]:
        details = {}
        clock = self._machine.number(f"{self._folder}/cur_freq")
        if clock:
            details["clock_mhz"] = f"{clock / 1e6:.0f}"
        # A board's GPU uses the memory of its processor.
        total = self._machine.memory_kib("MemTotal")
        free = self._machine.memory_kib("MemAvailable")
        if total is not None and free is not None:
            details["memory_mib"] = f"{(total - free) / 1024:.0f} of {total / 1024:.0f}"
        return details


def _clamped(factor: float) -> float:
    """Return a factor that is usable; clocks are reported to a hundredth only."""
    return 1.0 if factor > _NOMINAL else max(_LEAST_FACTOR, factor)


def _hottest(machine: Machine, kind: str = "") -> float | None:
    found = []
    for path, value in machine.numbers("/sys/class/thermal/thermal_zone*/temp").items():
        name = machine.text(path.replace("/temp", "/type")) or ""
        if kind in name.lower() and 0.0 < value / 1e3 < _ABSURD_C:
            found.append(value / 1e3)
    return max(found, default=None)


def _cooled(machine: Machine) -> bool:
    """Return whether the kernel lowers a clock because of heat."""
    for path, state in machine.numbers("/sys/class/thermal/cooling_device*/cur_state").items():
        kind = (machine.text(path.replace("/cur_state", "/type")) or "").lower()
        if state > 0 and any(word in kind for word in ("processor", "cpu", "gpu", "devfreq")):
            return True
    return False
