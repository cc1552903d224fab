"""Decides what runs next: events in, actions out. No I/O, threads or clock.

Policies that look into the analysis are imported when they are asked for: the engine process, which
is started anew while a robot waits, runs EDF without them.
"""

from typing import TYPE_CHECKING

from aegis_ros.on_demand import on_demand
from aegis_ros.scheduling.actions import (
    Action,
    Actions,
    Dispatch,
    Finished,
    Overrun,
    Restored,
    Shed,
    Skipped,
    WakeAt,
)
from aegis_ros.scheduling.gate import RateGate
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.plans import EarlyExitPlan, ExecutionPlan, GeneratorPlan, SegmentPlan
from aegis_ros.scheduling.policy import Edf, Policy, TaskTiming
from aegis_ros.scheduling.promise import Promise
from aegis_ros.scheduling.scheduler import Scheduler
from aegis_ros.scheduling.virtual_deadlines import VirtualDeadlines

if TYPE_CHECKING:
    from aegis_ros.scheduling.cw_edf import CwEdf
    from aegis_ros.scheduling.table import Slot, Table

__all__ = [
    "Action",
    "Actions",
    "CwEdf",
    "Dispatch",
    "EarlyExitPlan",
    "Edf",
    "ExecutionPlan",
    "Finished",
    "GeneratorPlan",
    "Job",
    "Overrun",
    "Policy",
    "Promise",
    "RateGate",
    "Restored",
    "Scheduler",
    "SegmentPlan",
    "Shed",
    "Skipped",
    "Slot",
    "Table",
    "TaskTiming",
    "VirtualDeadlines",
    "WakeAt",
]

__getattr__ = on_demand(
    __name__,
    {"CwEdf": "cw_edf", "Slot": "table", "Table": "table"},
)
