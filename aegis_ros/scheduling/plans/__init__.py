"""What a job is made of: one file for each kind of execution plan."""

from aegis_ros.scheduling.plans.base import ExecutionPlan
from aegis_ros.scheduling.plans.generator import GeneratorPlan
from aegis_ros.scheduling.plans.segments import EarlyExitPlan, SegmentPlan

__all__ = ["EarlyExitPlan", "ExecutionPlan", "GeneratorPlan", "SegmentPlan"]
