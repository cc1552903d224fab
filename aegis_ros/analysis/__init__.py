"""Schedulability as pure functions: yes or no, the numbers, and what would change the answer."""

from aegis_ros.analysis.lane import LaneVerdict, check_lane, is_schedulable
from aegis_ros.analysis.lanes import Assignment, assign
from aegis_ros.analysis.sensitivity import counterfactuals
from aegis_ros.analysis.task import AnalysisTask

__all__ = [
    "AnalysisTask",
    "Assignment",
    "LaneVerdict",
    "assign",
    "check_lane",
    "counterfactuals",
    "is_schedulable",
]
