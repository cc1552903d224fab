"""Drives the engine's own scheduler under a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.scheduling import Job, Policy, Scheduler
from aegis_ros.simulation.outcome import Outcome, Run
from aegis_ros.simulation.workload import Workload
from aegis_ros.spec import OverrunPolicy

__all__ = ["simulate"]

_TELL_EVERY = 10_000


def simulate(
    tasks: Sequence[AnalysisTask],
    workload: Workload,
    *,
    switch_ns: int = 0,
    policy: Policy | None = None,
    queue: int | Sequence[int] = 1_000_000,
    low_budgets_ns: Mapping[int, Sequence[int]] | None = None,
    low_totals_ns: Mapping[int, int] | None = None,
    on_overrun: Sequence[OverrunPolicy | None] | None = None,
    exit_after: Sequence[int] | None = None,
    keep_runs: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Run a workload on one lane; lanes do not meet, so each is simulated by itself.

    Args:
        tasks: deadlines and segment counts; ``Workload.task`` indexes it.
        workload: the jobs.
        switch_ns: added to every segment.
        policy: order of jobs; EDF if not given.
        queue: jobs of one task that may wait, for all tasks or one number a task.
        low_budgets_ns: low-mode budget of each segment by task index, switch costs included; a
            segment that exceeds it makes the lane shed tasks below high criticality when it ends.
        low_totals_ns: the same of a whole job, where that is less than the sum of its segments.
        on_overrun: what becomes of a job that exceeds its budget, one policy a task, ``None`` in it
            for a task whose budget is not enforced; without, none is.
        exit_after: number of segments after which the early exit of each task is complete, 0 for
            none; without, none has any.
        keep_runs: also return every segment that ran.
        progress: told now and then how many jobs have been released.
    """
    queues = [queue] * len(tasks) if isinstance(queue, int) else list(queue)
    scheduler = Scheduler(1, policy)
    for index, task in enumerate(tasks):
        scheduler.add_task(
            index,
            lane=0,
            segments=len(task.segments_ns),
            deadline_ns=task.deadline_ns,
            period_ns=task.period_ns,
            jitter_ns=task.jitter_ns,
            criticality=task.criticality,
            queue=queues[index],
            wcet_ns=tuple(part + switch_ns for part in task.segments_ns),
            total_ns=task.switched(switch_ns).total_ns,
            on_overrun=on_overrun[index] if on_overrun is not None else None,
            low_ns=tuple((low_budgets_ns or {}).get(index, ())),
            low_total_ns=(low_totals_ns or {}).get(index, 0),
            exit_after=exit_after[index] if exit_after is not None else 0,
        )
    relative = np.array([task.deadline_ns for task in tasks], np.int64)
    deadlines = workload.arrival_ns + relative[workload.task]
    count = len(workload)
    started = [-1] * count
    finished = [-1] * count
    runs: list[Run] = []

    # Plain lists and local names: this loop is what a million simulated jobs spend their time in.
    owner, arrival = workload.task.tolist(), workload.arrival_ns.tolist()
    ready, due = workload.ready_ns.tolist(), deadlines.tolist()
    execution = workload.execution_ns
    release, dispatch = scheduler.release, scheduler.dispatch
    segment_done = scheduler.segment_done
    next_job = 0
    end = -1  # of the segment that runs
    last = busy = 0
    current = length = 0
    never = 1 << 62
    tell_at = never if progress is None else 0
    ready.append(never)
    while True:
        coming = ready[next_job]
        if end >= 0:
            if coming < end:
                release(
                    Job(
                        owner[next_job],
                        next_job,
                        arrival[next_job],
                        due[next_job],
                        coming,
                        next_job,
                    ),
                    coming,
                )
                next_job += 1
                continue
            now = end
            end = -1
            done = segment_done(0, now, length)
            if done is not None and not done.displaced:
                finished[current] = now
        else:
            wake = scheduler.wake_ns(0) or never
            now = coming if coming < wake else wake
            if now == never:
                break
        # All that is ready at this very instant is known before anything starts.
        while ready[next_job] <= now:
            release(
                Job(
                    owner[next_job],
                    next_job,
                    arrival[next_job],
                    due[next_job],
                    now,
                    next_job,
                ),
                now,
            )
            next_job += 1
        if next_job > tell_at and progress is not None:
            progress(next_job)
            tell_at = next_job + _TELL_EVERY
        chosen = dispatch(0, now)
        if chosen is not None:
            current = chosen.seq
            segment = chosen.segment
            if segment == 0:
                started[current] = now
            length = execution[current][segment] + switch_ns
            end = now + length
            busy += length
            last = end
            if keep_runs:
                runs.append(Run(current, segment, now, end))
    return Outcome(
        tuple(tasks),
        workload,
        deadlines,
        np.array(started, np.int64),
        np.array(finished, np.int64),
        busy,
        last,
        tuple(runs),
    )
