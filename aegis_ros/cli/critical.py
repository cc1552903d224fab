"""Runs the critical instant of a lane through the simulator: what the test is afraid of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aegis_ros.analysis import AnalysisTask, LaneVerdict
from aegis_ros.cli.answer import Answer
from aegis_ros.rationale import Witness
from aegis_ros.simulation import Outcome, critical_arrivals, simulate

__all__ = ["CriticalRun", "Miss", "critical_run"]

_MAX_JOBS = 20_000


@dataclass(frozen=True, slots=True)
class Miss:
    """A job that ended late; times from the instant at which all others become ready."""

    task: str
    arrival_ns: int
    deadline_ns: int
    finished_ns: int


@dataclass(frozen=True)
class CriticalRun:
    """A simulated critical instant.

    Attributes:
        tasks: of the lane, in the order of the outcome.
        outcome: with every segment that ran.
        start_ns: the instant at which all but the blocker become ready, on the outcome's clock.
        witness: interval the pattern was made for.
        first_miss: the first job that ended late, if any.
    """

    tasks: tuple[AnalysisTask, ...]
    outcome: Outcome
    start_ns: int
    witness: Witness
    first_miss: Miss | None


def critical_run(
    answer: Answer, verdict: LaneVerdict, until_ns: int | None = None
) -> CriticalRun | None:
    """Simulate the critical instant of a lane.

    Args:
        answer: of the set.
        verdict: of the lane.
        until_ns: length of the pattern instead of the witness's own.

    Returns:
        ``None`` where the test has no witness, or one of very many jobs.
    """
    witness = verdict.witness
    if witness is None:
        return None
    if until_ns is not None:
        witness = replace(witness, t_ns=until_ns)
    tasks = answer.on_lane(verdict.lane)
    jobs = sum(
        max(0, (witness.t_ns - task.deadline_ns + task.jitter_ns) // task.period_ns + 1)
        for task in tasks
    )
    if not 0 < jobs <= _MAX_JOBS:
        return None
    switch_ns = answer.asked.switch_ns
    workload = critical_arrivals(tasks, witness, switch_ns=switch_ns)
    outcome = simulate(tasks, workload, switch_ns=switch_ns, keep_runs=True)
    blocker = next((task for task in tasks if task.name == witness.blocking_task), None)
    start_ns = 0
    if blocker is not None:
        longest = max(range(len(blocker.segments_ns)), key=blocker.segments_ns.__getitem__)
        start_ns = sum(blocker.segments_ns[:longest]) + switch_ns * longest + 1
    return CriticalRun(tasks, outcome, start_ns, witness, _first_miss(tasks, outcome, start_ns))


def _first_miss(tasks: tuple[AnalysisTask, ...], outcome: Outcome, start_ns: int) -> Miss | None:
    late = np.nonzero(outcome.missed)[0]
    if not late.size:
        return None
    job = int(late[np.argmin(outcome.deadline_ns[late])])
    return Miss(
        tasks[int(outcome.workload.task[job])].name,
        int(outcome.workload.arrival_ns[job]) - start_ns,
        int(outcome.deadline_ns[job]) - start_ns,
        int(outcome.finished_ns[job]) - start_ns,
    )
