"""Chooses the reader of the device's state."""

from __future__ import annotations

from collections.abc import Sequence

from aegis_ros.device.nvml import NvmlMonitor
from aegis_ros.device.state import DeviceMonitor
from aegis_ros.device.sysfs import CpuMonitor, JetsonMonitor
from aegis_ros.errors import BackendError
from aegis_ros.host import Machine

__all__ = ["create_monitor"]


def create_monitor(
    *, gpu: bool, cores: Sequence[int] = (), machine: Machine | None = None
) -> DeviceMonitor:
    """Return the monitor for what networks run on.

    Args:
        gpu: whether that is a GPU: of a Jetson, or any that NVML knows; without either, and
            without a GPU, the cores are watched.
        cores: that lanes are pinned to; empty for all.
        machine: whose files are read; this one if not given.
    """
    here = machine or Machine()
    if gpu:
        jetson = JetsonMonitor(here)
        if jetson.present:
            return jetson
        try:
            return NvmlMonitor()
        except BackendError:
            pass
    return CpuMonitor(here, cores)
