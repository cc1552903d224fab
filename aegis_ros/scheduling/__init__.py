"""Decides what runs next: jobs, policies, ready queues, rate gates. No I/O, threads or clock."""

from aegis_ros.scheduling.cw_edf import CwEdf
from aegis_ros.scheduling.gate import RateGate
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.overrun import Overrun
from aegis_ros.scheduling.policy import Edf, Policy, TaskTiming
from aegis_ros.scheduling.scheduler import Scheduler
from aegis_ros.scheduling.table import Slot, Table
from aegis_ros.scheduling.virtual_deadlines import VirtualDeadlines

__all__ = [
    "CwEdf",
    "Edf",
    "Job",
    "Overrun",
    "Policy",
    "RateGate",
    "Scheduler",
    "Slot",
    "Table",
    "TaskTiming",
    "VirtualDeadlines",
]
