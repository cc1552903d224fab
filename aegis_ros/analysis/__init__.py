"""Schedulability as pure functions: yes or no, the numbers, and what would change the answer."""

from aegis_ros.analysis.breakdown import breakdown
from aegis_ros.analysis.chains import (
    Chain,
    ChainBound,
    ChainsVerdict,
    chain_reaction_bound,
)
from aegis_ros.analysis.change import restorable, safe_removal_ns, shed_order
from aegis_ros.analysis.decimation import decimated, find_decimation
from aegis_ros.analysis.lane import LaneVerdict, check_lane, is_schedulable, queue_needed
from aegis_ros.analysis.lanes import Assignment, assign
from aegis_ros.analysis.leftover import slack_rates
from aegis_ros.analysis.longest_step import LongestStep, longest_step
from aegis_ros.analysis.modes import ModesVerdict, check_modes
from aegis_ros.analysis.periodic import Place
from aegis_ros.analysis.policies import POLICIES, PolicyName, check_policy
from aegis_ros.analysis.sensitivity import counterfactuals
from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.analysis.timetable import TimeTable
from aegis_ros.analysis.witness import CriticalArrival, witness_schedule

__all__ = [
    "POLICIES",
    "AnalysisTask",
    "Assignment",
    "Chain",
    "ChainBound",
    "ChainsVerdict",
    "CriticalArrival",
    "LaneVerdict",
    "LongestStep",
    "ModesVerdict",
    "Place",
    "PolicyName",
    "TimeTable",
    "assign",
    "breakdown",
    "chain_reaction_bound",
    "check_lane",
    "check_modes",
    "check_policy",
    "counterfactuals",
    "decimated",
    "find_decimation",
    "is_schedulable",
    "longest_step",
    "queue_needed",
    "restorable",
    "safe_removal_ns",
    "shed_order",
    "slack_rates",
    "witness_schedule",
]
