"""The engine's scheduler under a virtual clock."""

from aegis_ros.simulation.adapted import AdaptedFigures, AdaptedGenerator, GivenRequest
from aegis_ros.simulation.arrivals import (
    bursty_arrivals,
    critical_arrivals,
    periodic_arrivals,
    sporadic_arrivals,
    traced_arrivals,
)
from aegis_ros.simulation.generator import GeneratorFigures, SaturatedGenerator
from aegis_ros.simulation.interference import Slowdown
from aegis_ros.simulation.outcome import Outcome, Run, TaskFigures
from aegis_ros.simulation.simulator import plan_of, simulate
from aegis_ros.simulation.workload import Workload

__all__ = [
    "AdaptedFigures",
    "AdaptedGenerator",
    "GeneratorFigures",
    "GivenRequest",
    "Outcome",
    "Run",
    "SaturatedGenerator",
    "Slowdown",
    "TaskFigures",
    "Workload",
    "bursty_arrivals",
    "critical_arrivals",
    "periodic_arrivals",
    "plan_of",
    "simulate",
    "sporadic_arrivals",
    "traced_arrivals",
]
