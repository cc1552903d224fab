"""Reads clocks and heat of NVIDIA GPUs through NVML, which is optional and imported late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aegis_ros.device.state import DeviceState
from aegis_ros.errors import BackendError

__all__ = ["NvmlMonitor"]

# nvmlClocksThrottleReasons. Being idle and what the operator set are no reason for alarm.
_REASONS = {
    0x1: "idle",
    0x2: "clocks set by the operator",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "synchronised boost",
    0x20: "heat (software)",
    0x40: "heat (hardware)",
    0x80: "power brake",
    0x100: "clocks set for a display",
}
_SLOWED = 0x4 | 0x8 | 0x20 | 0x40 | 0x80
_HOT = 0x20 | 0x40
_MIB = 2**20
_LEAST_FACTOR = 0.01


class NvmlMonitor:
    """The clock of a GPU's multiprocessors.

    An idle GPU lowers its clock by itself; so the clock counts only while NVML names heat or power
    as the reason for it.

    Args:
        index: which GPU.
        library: stands in for the module ``pynvml`` in tests.

    Raises:
        BackendError: pynvml, the driver or the GPU is missing.
    """

    def __init__(self, index: int = 0, library: Any = None) -> None:
        """Open the GPU."""
        if library is None:
            try:
                import pynvml as library  # type: ignore[import-not-found,no-redef]
            except ImportError as error:
                raise BackendError(
                    "pynvml is not installed", hint="pip install nvidia-ml-py"
                ) from error
        self._nvml = library
        try:
            library.nvmlInit()
            self._handle = library.nvmlDeviceGetHandleByIndex(index)
            name = library.nvmlDeviceGetName(self._handle)
            nominal = self._nominal_mhz()
        except library.NVMLError as error:
            raise BackendError(f"NVML cannot open GPU {index}: {error}") from error
        self._source = f"NVML, {name.decode() if isinstance(name, bytes) else name}"
        self._nominal = nominal
        self._old_errors = self._optional(self._uncorrected_errors) or 0

    def read(self) -> DeviceState:
        """Return the clock over the nominal one while the GPU is held back, else 1."""
        nvml = self._nvml
        errors = self._optional(self._uncorrected_errors)
        new_errors = max(0, errors - self._old_errors) if errors is not None else 0
        try:
            reasons = int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))
            clock = int(nvml.nvmlDeviceGetClockInfo(self._handle, nvml.NVML_CLOCK_SM))
            heat = float(nvml.nvmlDeviceGetTemperature(self._handle, nvml.NVML_TEMPERATURE_GPU))
        except nvml.NVMLError as error:
            source = f"{self._source}: {error}; taken as nominal"
            return DeviceState(source=source, uncorrected_errors=new_errors)
        held = bool(reasons & _SLOWED)
        factor = clock / self._nominal if held and self._nominal > 0 else 1.0
        what = "heat" if reasons & _HOT else "power" if held else ""
        details = self._details(clock, reasons)
        if errors is not None:
            details["uncorrected_memory_errors"] = str(errors)
        return DeviceState(
            min(1.0, max(_LEAST_FACTOR, factor)),
            heat,
            held,
            f"{self._source}, held back by {what}" if what else self._source,
            new_errors,
            details,
        )

    def _details(self, clock_mhz: int, reasons: int) -> dict[str, str]:
        nvml, handle = self._nvml, self._handle
        named = [text for bit, text in _REASONS.items() if reasons & bit]
        details = {"clock_mhz": str(clock_mhz), "clock_reasons": ", ".join(named) or "none"}
        memory = self._optional(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if memory is not None:
            details["memory_mib"] = f"{memory.used / _MIB:.0f} of {memory.total / _MIB:.0f}"
        milliwatts = self._optional(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        if milliwatts is not None:
            details["power_w"] = f"{milliwatts / 1e3:.0f}"
        return details

    def _uncorrected_errors(self) -> int:
        nvml = self._nvml
        return int(
            nvml.nvmlDeviceGetTotalEccErrors(
                self._handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
            )
        )

    def _optional(self, read: Callable[[], Any]) -> Any:
        """Return what many a GPU does not tell; ``None`` from one that does not."""
        try:
            return read()
        except self._nvml.NVMLError:
            return None

    def _nominal_mhz(self) -> int:
        """Return the clock that applications are given, or the largest there is."""
        nvml = self._nvml
        try:
            return int(nvml.nvmlDeviceGetApplicationsClock(self._handle, nvml.NVML_CLOCK_SM))
        except nvml.NVMLError:
            return int(nvml.nvmlDeviceGetMaxClockInfo(self._handle, nvml.NVML_CLOCK_SM))
