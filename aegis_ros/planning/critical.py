"""Runs the worst pattern of a lane through the simulator: what its test is afraid of."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aegis_ros.analysis import AnalysisTask, LaneVerdict, check_lane
from aegis_ros.analysis.task import by_promise
from aegis_ros.planning.answer import Answer
from aegis_ros.planning.modes import in_high_mode, in_low_mode
from aegis_ros.rationale import Witness
from aegis_ros.simulation import Outcome, critical_arrivals, periodic_arrivals, simulate

__all__ = ["Case", "CriticalRun", "Miss", "case_of", "critical_run"]

_MAX_JOBS = 20_000


@dataclass(frozen=True, slots=True)
class Miss:
    """A job that ended late; times from the instant at which all others become ready."""

    task: str
    arrival_ns: int
    deadline_ns: int
    finished_ns: int


@dataclass(frozen=True)
class Case:
    """What is asked of a lane with one budget a segment, so that there is a pattern to run.

    Attributes:
        tasks: of the lane that count, in the order of their deadlines.
        verdict: of the demand test of just these.
        words: which budgets are meant, where tasks may exceed them; empty otherwise.
    """

    tasks: tuple[AnalysisTask, ...]
    verdict: LaneVerdict
    words: str = ""


@dataclass(frozen=True)
class CriticalRun:
    """A simulated critical instant, or under CW-EDF and a table, the periodic start.

    Attributes:
        case: what was run; its tasks are in the order of the outcome.
        outcome: with every segment that ran.
        start_ns: the instant at which all but the blocker become ready, on the outcome's clock.
        witness: interval the pattern was made for; ``None`` for the periodic start.
        first_miss: the first job that ended late, if any.
    """

    case: Case
    outcome: Outcome
    start_ns: int
    witness: Witness | None
    first_miss: Miss | None


def case_of(answer: Answer, verdict: LaneVerdict) -> Case:
    """Return what to run for a lane.

    Where tasks may exceed their budgets that is, of what holds, all high budgets if nothing has to
    be dropped, or low mode with its virtual deadlines; of what fails, the simplest of the cases
    that do: low budgets, high ones of high criticality alone, high ones of all.
    """
    tasks = (*answer.planned_on(verdict.lane), *answer.steps_on(verdict.lane))
    modes = answer.modes_of(verdict.lane)
    if modes is None:
        return Case(tasks, verdict)
    at_high = tuple(task.at_high() for task in tasks)
    exceeded = "every budget exceeded, up to the high one"
    if verdict.schedulable and not modes.sheds:
        return Case(at_high, verdict, exceeded)
    cases: list[tuple[tuple[AnalysisTask, ...], str]]
    if verdict.schedulable:
        low = sorted(in_low_mode(tasks, modes.virtual_ns), key=lambda task: task.deadline_ns)
        cases = [(tuple(low), "no budget exceeded, with virtual deadlines")]
    else:
        cases = [
            (in_low_mode(tasks, {}), "no budget exceeded"),
            (in_high_mode(tasks, {}), f"{exceeded}, and all below high criticality dropped"),
            (at_high, f"{exceeded}, and nothing dropped"),
        ]
    for own, words in cases:
        found = check_lane(own, lane=verdict.lane, switch_ns=answer.asked.switch_ns)
        if found.schedulable == verdict.schedulable:
            return Case(own, found, words)
    return Case(tasks, verdict)


def critical_run(
    answer: Answer, verdict: LaneVerdict, until_ns: int | None = None
) -> CriticalRun | None:
    """Simulate the worst pattern of a lane.

    Args:
        answer: of the set.
        verdict: of the lane.
        until_ns: length of the pattern, if not up to the failure.

    Returns:
        ``None`` where there is nothing to show: no witness, no table, or very many jobs.
    """
    case = case_of(answer, verdict)
    if answer.asked.policy != "edf":
        return _periodic_run(answer, case, until_ns)
    tasks, witness = case.tasks, case.verdict.witness
    if witness is None:
        return None
    if until_ns is not None:
        witness = replace(witness, t_ns=until_ns)
    promised, _ = by_promise(tasks)
    jobs = sum(
        max(0, (witness.t_ns - task.deadline_ns + task.jitter_ns) // task.period_ns + 1)
        for task in promised
    )
    if not 0 < jobs <= _MAX_JOBS:
        return None
    switch_ns = answer.asked.switch_ns
    workload = critical_arrivals(tasks, witness, switch_ns=switch_ns)
    outcome = simulate(tasks, workload, switch_ns=switch_ns, keep_runs=True)
    blocker = next((task for task in tasks if task.name == witness.blocking_task), None)
    start_ns = 0
    if blocker is not None:
        longest = blocker.segments_ns.index(max(blocker.segments_ns))
        start_ns = sum(blocker.execution_ns(longest)[:longest]) + switch_ns * longest + 1
    return CriticalRun(case, outcome, start_ns, witness, _first_miss(tasks, outcome, start_ns))


def _periodic_run(answer: Answer, case: Case, until_ns: int | None) -> CriticalRun | None:
    tasks, policy = case.tasks, answer.policy_of(case.verdict.lane)
    if policy is None or not tasks:
        return None
    if until_ns is None:  # twice the longest wait, in which most that can go wrong has
        until_ns = 2 * max(max(task.period_ns, task.deadline_ns) for task in tasks)
    while sum(until_ns // task.period_ns + 1 for task in tasks) > _MAX_JOBS:
        until_ns //= 2
        if not until_ns:
            return None
    outcome = simulate(
        tasks,
        periodic_arrivals(tasks, until_ns),
        switch_ns=answer.asked.switch_ns,
        policy=policy,
        keep_runs=True,
    )
    return CriticalRun(case, outcome, 0, None, _first_miss(tasks, outcome, 0))


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
