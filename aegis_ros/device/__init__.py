"""How fast the device runs, which deadlines hold at that speed, and how much memory there is."""

from aegis_ros.device.governor import Change, DecimationGovernor, SpeedGovernor
from aegis_ros.device.monitor import create_monitor
from aegis_ros.device.nvml import NvmlMonitor
from aegis_ros.device.state import DeviceMonitor, DeviceState
from aegis_ros.device.sysfs import CpuMonitor, JetsonMonitor
from aegis_ros.device.system_memory import MemoryMonitor

__all__ = [
    "Change",
    "CpuMonitor",
    "DecimationGovernor",
    "DeviceMonitor",
    "DeviceState",
    "JetsonMonitor",
    "MemoryMonitor",
    "NvmlMonitor",
    "SpeedGovernor",
    "create_monitor",
]
