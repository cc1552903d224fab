"""What on this machine costs determinism: checks that read /proc and /sys and write nothing."""

from aegis_ros.host.examine import examine
from aegis_ros.host.finding import Finding, Grade
from aegis_ros.host.machine import Machine, Needs, core_list, core_text
from aegis_ros.host.pinning import pinnable_cores
from aegis_ros.host.standstill import Standstill, measure, standstills

__all__ = [
    "Finding",
    "Grade",
    "Machine",
    "Needs",
    "Standstill",
    "core_list",
    "core_text",
    "examine",
    "measure",
    "pinnable_cores",
    "standstills",
]
