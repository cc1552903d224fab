"""Schedulability as pure functions: yes or no, the numbers, and what would change the answer."""

from aegis_ros.analysis.lane import LaneVerdict, check_lane, is_schedulable, queue_needed
from aegis_ros.analysis.lanes import Assignment, assign
from aegis_ros.analysis.sensitivity import counterfactuals
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.analysis.witness import CriticalArrival, witness_schedule

__all__ = [
    "AnalysisTask",
    "Assignment",
    "CriticalArrival",
    "LaneVerdict",
    "assign",
    "check_lane",
    "counterfactuals",
    "is_schedulable",
    "queue_needed",
    "witness_schedule",
]
