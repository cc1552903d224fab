"""Decides what runs next: jobs, policies, ready queues, rate gates. No I/O, threads or clock."""

from aegis_ros.scheduling.gate import RateGate
from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.policy import Edf, Policy
from aegis_ros.scheduling.scheduler import Scheduler

__all__ = ["Edf", "Job", "Policy", "RateGate", "Scheduler"]
