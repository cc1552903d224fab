"""What on this machine costs determinism: checks that read /proc and /sys and write nothing.

They are imported when they are asked for: the engine process, which is started anew while a robot
waits, needs only the cores that a thread can be pinned to.
"""

from typing import TYPE_CHECKING

from aegis_ros.host.machine import Machine, Needs, core_list, core_text
from aegis_ros.host.pinning import pinnable_cores
from aegis_ros.on_demand import on_demand

if TYPE_CHECKING:
    from aegis_ros.host.examination import examine
    from aegis_ros.host.finding import Finding, Grade
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

__getattr__ = on_demand(
    __name__,
    {
        "Finding": "finding",
        "Grade": "finding",
        "Standstill": "standstill",
        "examine": "examination",
        "measure": "standstill",
        "standstills": "standstill",
    },
)
