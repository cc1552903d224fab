"""Decides what runs next: events in, actions out. No I/O, threads or clock."""

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
from aegis_ros.scheduling.cw_edf import CwEdf
from aegis_ros.scheduling.gate import RateGate
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.plans import EarlyExitPlan, ExecutionPlan, SegmentPlan
from aegis_ros.scheduling.policy import Edf, Policy, TaskTiming
from aegis_ros.scheduling.scheduler import Scheduler
from aegis_ros.scheduling.table import Slot, Table
from aegis_ros.scheduling.virtual_deadlines import VirtualDeadlines

__all__ = [
    "Action",
    "Actions",
    "CwEdf",
    "Dispatch",
    "EarlyExitPlan",
    "Edf",
    "ExecutionPlan",
    "Finished",
    "Job",
    "Overrun",
    "Policy",
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
