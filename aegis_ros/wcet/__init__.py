"""Execution-time profiles: statistics and storage."""

from aegis_ros.wcet.budget import Budget, budget, runs_needed
from aegis_ros.wcet.profile import Profile, ProfileKey
from aegis_ros.wcet.store import ProfileStore

__all__ = ["Budget", "Profile", "ProfileKey", "ProfileStore", "budget", "runs_needed"]
