"""Traces made by the simulator, for all tests here."""

from __future__ import annotations

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.simulation import Workload, simulate
from aegis_ros.simulation.tracing import trace_of
from aegis_ros.trace.history import Trace

Release = tuple[int, int, int, tuple[int, ...]]  # task, arrival, ready, execution of each segment


def workload(releases: list[Release]) -> Workload:
    """Jobs as they are listed."""
    return Workload.of(
        np.array([release[0] for release in releases], np.int64),
        np.array([release[1] for release in releases], np.int64),
        np.array([release[2] for release in releases], np.int64),
        [release[3] for release in releases],
    )


def traced(tasks: list[AnalysisTask], releases: list[Release], *, queue: int = 1000) -> Trace:
    """Simulate the jobs and return their trace."""
    outcome = simulate(tasks, workload(releases), queue=queue, keep_runs=True)
    return trace_of(("lane", outcome))
