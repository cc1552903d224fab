"""Figures of a trace: tasks against their deadlines, lanes, and the jobs to look at first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aegis_ros.trace.history import Ending, Trace, TracedJob

__all__ = ["LaneFigures", "TaskFigures", "figures", "find_job", "lane_figures", "worst_jobs"]


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """Figures of one task; latencies count from the stamp to the end, 0 where no job ended.

    ``deadline_ns`` is relative, taken from the contract, or from the jobs where there is none.
    ``bound_ns`` is the proven bound up to the end of the execution, 0 for none. ``early`` counts
    finished jobs that ended at an early exit of their network.
    """

    id: int
    name: str
    lane: str
    jobs: int
    finished: int
    early: int
    late: int
    skipped: int
    lost: int
    latency_p50_ns: int
    latency_p99_ns: int
    latency_max_ns: int
    execution_p50_ns: int
    execution_max_ns: int
    budget_ns: int
    deadline_ns: int
    bound_ns: int


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """How much of the time of the trace a lane was taken."""

    lane: int
    name: str
    busy_ns: int
    utilization: float


def figures(trace: Trace) -> tuple[TaskFigures, ...]:
    """Return the figures of every task that is known or has a job, by its number."""
    result = []
    for task in sorted({*trace.tasks, *trace.by_task}):
        jobs = trace.by_task.get(task, ())
        known = trace.tasks.get(task)
        ended = [job for job in jobs if job.ending is Ending.FINISHED]
        latency = np.array([job.latency_ns for job in ended] or [0], np.int64)
        execution = np.array([job.used_ns for job in ended] or [0], np.int64)
        lane = jobs[0].lane if jobs else -1
        deadline = known.deadline_ns if known is not None else 0
        if not deadline and jobs:
            deadline = jobs[0].deadline_ns - jobs[0].begin_ns
        result.append(
            TaskFigures(
                task,
                trace.task_name(task),
                trace.lane_name(lane) if lane >= 0 else known.lane if known is not None else "",
                len(jobs),
                len(ended),
                sum(job.early_exit for job in ended),
                sum(job.late_ns > 0 for job in ended),
                sum(job.ending is Ending.SKIPPED for job in jobs),
                sum(job.ending is Ending.LOST for job in jobs),
                int(np.percentile(latency, 50)),
                int(np.percentile(latency, 99)),
                int(latency.max()),
                int(np.percentile(execution, 50)),
                int(execution.max()),
                known.work_ns if known is not None else 0,
                deadline,
                known.bound_ns if known is not None else 0,
            )
        )
    return tuple(result)


def lane_figures(trace: Trace) -> tuple[LaneFigures, ...]:
    """Return how busy each lane was."""
    begin, end = trace.span_ns
    result = []
    for lane in trace.used_lanes:
        busy = sum(run.end_ns - run.begin_ns for run in trace.lane_segments(lane))
        share = busy / (end - begin) if end > begin else 0.0
        result.append(LaneFigures(lane, trace.lane_name(lane), busy, share))
    return tuple(result)


def worst_jobs(trace: Trace, count: int) -> Sequence[TracedJob]:
    """Return the finished jobs that came nearest to their deadlines or missed them by most.

    The latest come first, then those that used most of the time they had, then best effort.
    """
    ended = [job for job in trace.jobs.values() if job.ending is Ending.FINISHED]

    def order(job: TracedJob) -> tuple[int, float]:
        allowed = job.deadline_ns - job.begin_ns
        counts = allowed > 0 and job.promised
        return -max(0, job.late_ns), -(job.latency_ns / allowed if counts else 0.0)

    return sorted(ended, key=order)[:count]


def find_job(trace: Trace, name: str) -> TracedJob | None:
    """Return the job that people call ``task#number``; ``None`` for one not on record."""
    task_name, _, number = name.rpartition("#")
    if not number.isdecimal():
        return None
    for task in {*trace.tasks, *trace.by_task}:
        if trace.task_name(task) == task_name:
            job = trace.jobs.get((task, int(number)))
            if job is not None:
                return job
    return None
