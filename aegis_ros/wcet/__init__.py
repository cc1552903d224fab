"""Execution-time profiles: statistics and storage."""

from aegis_ros.wcet.at_once import at_once
from aegis_ros.wcet.budget import Budget, budget, runs_needed
from aegis_ros.wcet.condition import (
    PATTERN,
    RANDOM,
    Cache,
    Condition,
    Neighbour,
    Place,
    Stress,
)
from aegis_ros.wcet.contention import (
    LEAST_PAIR_RUNS,
    Contended,
    contended,
    slowed_ns,
    unmeasured,
    worst_of_each,
)
from aegis_ros.wcet.independence import IidTests, iid_tests
from aegis_ros.wcet.known import KnownMemory, KnownProfiles, RememberedProfiles
from aegis_ros.wcet.pairs import Pair, alone, pairs
from aegis_ros.wcet.profile import Batch, Profile, ProfileKey
from aegis_ros.wcet.store import ProfileStore
from aegis_ros.wcet.tail import NoTail, Tail, fit_tail

__all__ = [
    "LEAST_PAIR_RUNS",
    "PATTERN",
    "RANDOM",
    "Batch",
    "Budget",
    "Cache",
    "Condition",
    "Contended",
    "IidTests",
    "KnownMemory",
    "KnownProfiles",
    "Neighbour",
    "NoTail",
    "Pair",
    "Place",
    "Profile",
    "ProfileKey",
    "ProfileStore",
    "RememberedProfiles",
    "Stress",
    "Tail",
    "alone",
    "at_once",
    "budget",
    "contended",
    "fit_tail",
    "iid_tests",
    "pairs",
    "runs_needed",
    "slowed_ns",
    "unmeasured",
    "worst_of_each",
]
