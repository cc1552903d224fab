"""The pattern behind a witness as a schedule to look at, from what a status tells of the tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aegis_ros.analysis import AnalysisTask
from aegis_ros.dashboard.views import BarView, DueView, TaskView, WindowView, WitnessView
from aegis_ros.rationale import Witness
from aegis_ros.simulation import critical_arrivals, simulate
from aegis_ros.spec import Criticality

__all__ = ["analysis_task", "critical_window"]

_MAX_JOBS = 300
_NS = 1_000_000


def analysis_task(
    name: str,
    *,
    wcet_ms: float,
    period_ms: float,
    deadline_ms: float,
    publish_ms: float = 0.0,
    jitter_ms: float = 0.0,
    segments: int = 0,
) -> AnalysisTask | None:
    """Return a task as the tests see it, in equal segments; ``None`` for numbers that cannot be.

    Args:
        name: of the task.
        wcet_ms: budget of the whole network.
        period_ms: shortest time between two jobs.
        deadline_ms: from a frame's stamp to its result.
        jitter_ms: longest time from a frame's stamp until it is ready.
        publish_ms: kept free before the deadline.
        segments: how many; 0 for one.
    """
    wcet, period = round(wcet_ms * _NS), round(period_ms * _NS)
    deadline, parts = round((deadline_ms - publish_ms) * _NS), max(1, segments)
    if min(wcet // parts, period, deadline) <= 0 or jitter_ms < 0.0:
        return None
    whole = AnalysisTask(name, (wcet,), period, deadline, round(jitter_ms * _NS))
    return whole.cut(parts) if parts > 1 else whole


def critical_window(
    admitted: Sequence[TaskView], candidate: AnalysisTask, found: WitnessView
) -> WindowView | None:
    """Run the worst pattern of a lane up to its tightest point, every job with its whole budget.

    Args:
        admitted: tasks that are there in the question; those of other lanes are left out.
        candidate: the task asked about.
        found: the witness.

    Returns:
        ``None`` where there is nothing to show, or too much to see.
    """
    # what is promised no deadline runs in the slack: it blocks at most
    there = [
        task
        for task in admitted
        if task.lane == found.lane
        and (task.criticality != Criticality.BEST_EFFORT or task.name == found.blocking_task)
    ]
    given = [_of(task) for task in there] + [candidate]
    witness = Witness(
        found.lane,
        round(found.t_ms * _NS),
        round(found.demand_ms * _NS),
        round(found.blocking_ms * _NS),
        found.blocking_task,
        round(found.slack_ms * _NS),
    )
    tasks = [_blocking_as_found(task, witness) for task in given if task is not None]
    jobs = sum(
        max(0, (witness.t_ns - task.deadline_ns + task.jitter_ns) // task.period_ns + 1)
        for task in tasks
    )
    if not 0 < jobs <= _MAX_JOBS:
        return None
    outcome = simulate(tasks, critical_arrivals(tasks, witness), keep_runs=True)
    blocker = next((task for task in tasks if task.name == witness.blocking_task), None)
    start_ns = 0
    if blocker is not None:
        longest = max(range(len(blocker.segments_ns)), key=blocker.segments_ns.__getitem__)
        start_ns = sum(blocker.segments_ns[:longest]) + 1
    late = outcome.missed

    def name(job: int) -> str:
        return tasks[int(outcome.workload.task[job])].name

    # of the blocking task only what blocks: its deadline is not the question
    shown = [
        run
        for run in outcome.runs
        if name(run.job) != witness.blocking_task or run.start_ns < start_ns < run.end_ns
    ]
    if not shown:
        return None
    ran = {name(run.job) for run in shown}
    return WindowView(
        tasks=tuple(task.name for task in tasks if task.name in ran),
        begin_ms=min(run.start_ns - start_ns for run in shown) / _NS,
        end_ms=max(witness.t_ns, *(run.end_ns - start_ns for run in shown)) / _NS,
        bars=tuple(
            BarView(
                name(run.job),
                (run.start_ns - start_ns) / _NS,
                (run.end_ns - start_ns) / _NS,
                bool(late[run.job]) and name(run.job) != witness.blocking_task,
                name(run.job) == witness.blocking_task,
            )
            for run in shown
        ),
        dues=tuple(
            DueView(name(job), (int(due) - start_ns) / _NS, bool(late[job]))
            for job, due in enumerate(outcome.deadline_ns)
            if name(job) != witness.blocking_task
        ),
    )


def _of(task: TaskView) -> AnalysisTask | None:
    return analysis_task(
        task.name,
        wcet_ms=task.wcet_ms,
        period_ms=task.period_ms * task.decimation,
        deadline_ms=task.deadline_ms,
        publish_ms=task.publish_ms,
        jitter_ms=task.jitter_ms,
        segments=task.segments,
    )


def _blocking_as_found(task: AnalysisTask, witness: Witness) -> AnalysisTask:
    """Let the blocking task block for as long as the test said, however many segments it has."""
    total, longest = sum(task.segments_ns), witness.blocking_ns
    if task.name != witness.blocking_task or not 0 < longest < total:
        return task
    rest = []
    while total > longest:
        rest.append(min(longest, total - longest))
        total -= rest[-1]
    return replace(task, segments_ns=(longest, *rest))
