"""What of this machine costs determinism: checks that read /proc and /sys and write nothing."""

from aegis_ros.host.examine import examine
from aegis_ros.host.finding import Finding, Grade
from aegis_ros.host.machine import Machine, Needs, core_list

__all__ = ["Finding", "Grade", "Machine", "Needs", "core_list", "examine"]
