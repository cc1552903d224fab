"""Execution-time profiles: statistics and storage."""

from aegis_ros.wcet.budget import Budget, budget, runs_needed
from aegis_ros.wcet.condition import Cache, Condition, Stress
from aegis_ros.wcet.independence import IidTests, iid_tests
from aegis_ros.wcet.profile import Batch, Profile, ProfileKey
from aegis_ros.wcet.store import ProfileStore
from aegis_ros.wcet.tail import NoTail, Tail, fit_tail

__all__ = [
    "Batch",
    "Budget",
    "Cache",
    "Condition",
    "IidTests",
    "NoTail",
    "Profile",
    "ProfileKey",
    "ProfileStore",
    "Stress",
    "Tail",
    "budget",
    "fit_tail",
    "iid_tests",
    "runs_needed",
]
