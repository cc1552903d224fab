"""How fast the device runs, and which deadlines hold at that speed."""

from aegis_ros.device.governor import Change, DecimationGovernor, SpeedGovernor
from aegis_ros.device.monitor import create_monitor
from aegis_ros.device.nvml import NvmlMonitor
from aegis_ros.device.state import DeviceMonitor, DeviceState
from aegis_ros.device.sysfs import CpuMonitor, JetsonMonitor

__all__ = [
    "Change",
    "CpuMonitor",
    "DecimationGovernor",
    "DeviceMonitor",
    "DeviceState",
    "JetsonMonitor",
    "NvmlMonitor",
    "SpeedGovernor",
    "create_monitor",
]
