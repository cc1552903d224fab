"""Decides what runs next: events in, actions out. No I/O, threads or clock.

Policies that look into the analysis are imported when they are asked for: the engine process, which
is started anew while a robot waits, runs EDF without them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from aegis_ros.scheduling.plans import EarlyExitPlan, ExecutionPlan, SegmentPlan
from aegis_ros.scheduling.policy import Edf, Policy, TaskTiming
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

_LOOKING_AHEAD = {"CwEdf": "cw_edf", "Slot": "table", "Table": "table"}


def __getattr__(name: str) -> Any:
    """Import a policy that looks into the analysis (PEP 562)."""
    if name not in _LOOKING_AHEAD:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_LOOKING_AHEAD[name]}"), name)
    globals()[name] = found
    return found
