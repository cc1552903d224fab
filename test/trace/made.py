"""Traces made by the simulator, for all tests here."""

from __future__ import annotations

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.simulation import Workload, simulate
from aegis_ros.simulation.tracing import trace_of
from aegis_ros.trace import RECORD, RecordKind
from aegis_ros.trace.history import Trace, TracedTask

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


def answered(unit_ns: int = 1_000_000) -> Trace:
    """A generator that answers for 28 units beside a camera that takes 16 of them.

    It runs a chunk of two tokens and two decodes, of two parts each.
    """
    camera, generator, behind = 1, 2, 1 << 62
    rows: list[tuple[RecordKind, int, int, int, int, tuple[int, ...]]] = []

    def released(task: int, seq: int, at: int, due: int, rank: int) -> None:
        rows.append((RecordKind.RELEASED, 0, task, seq, at, (at, at, due, rank)))

    def ran(task: int, seq: int, segment: int, begin: int, end: int, rank: int) -> None:
        started = (rank, 20)
        rows.append((RecordKind.SEGMENT_STARTED, segment, task, seq, begin, started))
        rows.append((RecordKind.SEGMENT_ENDED, segment, task, seq, end, (begin, end, 0)))

    released(generator, 0, 0, 86_400, behind)  # what the engine has in place of no deadline
    ran(generator, 0, 0, 0, 2, behind)
    ran(generator, 0, 1, 2, 4, behind)
    released(camera, 0, 3, 23, 23)
    ran(camera, 0, 0, 4, 14, 23)
    rows.append((RecordKind.FINISHED, 0, camera, 0, 14, (3, 23, 10, 0)))
    ran(generator, 0, 2, 14, 16, behind)
    ran(generator, 0, 3, 16, 18, behind)
    released(camera, 1, 17, 37, 37)
    ran(camera, 1, 0, 18, 24, 37)
    rows.append((RecordKind.FINISHED, 0, camera, 1, 24, (17, 37, 6, 0)))
    ran(generator, 0, 2, 24, 25, behind)
    ran(generator, 0, 3, 25, 28, behind)
    rows.append((RecordKind.FINISHED, 0, generator, 0, 28, (0, 86_400, 12, 0)))
    records = np.zeros(len(rows), RECORD)
    for index, (kind, segment, task, seq, at, values) in enumerate(rows):
        times = [value if value == behind else value * unit_ns for value in values]
        times += [0] * (4 - len(times))
        records[index] = (kind, 0, segment, task, seq, at * unit_ns, times, index)
    tasks = {
        camera: TracedTask(camera, "camera", "lane", 14 * unit_ns, 20 * unit_ns),
        generator: TracedTask(
            generator,
            "llm",
            "lane",
            criticality="best_effort",
            steps=("prefill 2", "prefill 2", "decode 1", "decode 1"),
        ),
    }
    return Trace(records, tasks, ("lane",))
