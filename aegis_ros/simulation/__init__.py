"""The engine's scheduler under a virtual clock."""

from aegis_ros.simulation.arrivals import critical_arrivals, periodic_arrivals, sporadic_arrivals
from aegis_ros.simulation.simulator import Arrival, JobRecord, simulate

__all__ = [
    "Arrival",
    "JobRecord",
    "critical_arrivals",
    "periodic_arrivals",
    "simulate",
    "sporadic_arrivals",
]
