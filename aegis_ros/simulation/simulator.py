"""Drives the engine's own scheduler under a virtual clock, on all lanes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.scheduling import (
    Dispatch,
    EarlyExitPlan,
    ExecutionPlan,
    Finished,
    Job,
    Policy,
    Scheduler,
    SegmentPlan,
    WakeAt,
)
from aegis_ros.simulation.interference import Interference, Slowdown
from aegis_ros.simulation.outcome import Outcome, Run
from aegis_ros.simulation.workload import Workload
from aegis_ros.spec import OverrunPolicy

__all__ = ["plan_of", "simulate"]

_REPORT_EVERY = 10_000
_NEVER = 1 << 62


def plan_of(task: AnalysisTask, switch_ns: int = 0, exit_after: int = 0) -> ExecutionPlan:
    """Return the plan of an analysed network.

    Args:
        task: its segments and the budget of a whole job.
        switch_ns: added to every segment.
        exit_after: number of segments after which its early exit is complete; 0 for none.
    """
    budgets = tuple(part + switch_ns for part in task.segments_ns)
    total = task.switched(switch_ns).total_ns
    if exit_after:
        return EarlyExitPlan(len(budgets), budgets, total, exit_after)
    return SegmentPlan(len(budgets), budgets, total)


def simulate(
    tasks: Sequence[AnalysisTask],
    workload: Workload,
    *,
    lanes: Sequence[int] | None = None,
    switch_ns: int = 0,
    policy: Policy | None = None,
    queue: int | Sequence[int] = 1_000_000,
    plans: Sequence[ExecutionPlan] | None = None,
    low: Mapping[int, ExecutionPlan] | None = None,
    on_overrun: Sequence[OverrunPolicy | None] | None = None,
    outcome_of: Callable[[int, int], object] | None = None,
    slowdown: Slowdown | None = None,
    keep_runs: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Run a workload on one lane or several.

    Args:
        tasks: deadlines and segments; ``Workload.task`` indexes it.
        workload: the jobs.
        lanes: index of the lane of each task; all on lane 0 if not given.
        switch_ns: added to every step.
        policy: order of jobs; EDF if not given.
        queue: jobs of one task that may wait, for all tasks or one number a task.
        plans: what the jobs of each task are made of; its segments if not given. An entry of
            ``Workload.execution_ns`` then is the time of the step with that number.
        low: low-mode budgets by task index, switch costs included; a step that exceeds its own
            makes the lane shed tasks below high criticality when it ends.
        on_overrun: what becomes of a job that exceeds its budget, one policy a task, ``None`` in it
            for a task whose budget is not enforced; without, none is.
        outcome_of: outcome that a plan gets for a step that has ended: (index of the job in the
            workload, step).
        slowdown: by what factor work of one task takes longer while another runs on another lane;
            without, lanes do not slow each other.
        keep_runs: also return every step that ran.
        progress: called now and then with the number of jobs released.
    """
    places = [0] * len(tasks) if lanes is None else list(lanes)
    count_of_lanes = max(places, default=0) + 1
    queues = [queue] * len(tasks) if isinstance(queue, int) else list(queue)
    scheduler = Scheduler(count_of_lanes, policy)
    for index, task in enumerate(tasks):
        scheduler.add_task(
            index,
            lane=places[index],
            plan=plan_of(task, switch_ns) if plans is None else plans[index],
            deadline_ns=task.deadline_ns,
            period_ns=task.period_ns,
            jitter_ns=task.jitter_ns,
            criticality=task.criticality,
            queue=queues[index],
            on_overrun=on_overrun[index] if on_overrun is not None else None,
            low=(low or {}).get(index),
        )
    relative = np.array([task.deadline_ns for task in tasks], np.int64)
    deadlines = workload.arrival_ns + relative[workload.task]
    count = len(workload)
    started = [-1] * count
    finished = [-1] * count
    runs: list[Run] = []
    busy = [0] * count_of_lanes
    interference = None if slowdown is None else Interference(count_of_lanes, slowdown)

    # Plain lists and local names: this loop is what a million simulated jobs spend their time in.
    owner, arrival = workload.task.tolist(), workload.arrival_ns.tolist()
    ready, due = workload.ready_ns.tolist(), deadlines.tolist()
    execution = workload.execution_ns
    release, tick, step_done = scheduler.release, scheduler.tick, scheduler.step_done
    ends = [_NEVER] * count_of_lanes  # of what runs
    running = [(-1, 0, 0)] * count_of_lanes  # job, step, since when
    wakes: dict[int, int] = {}
    several = count_of_lanes > 1
    watched = several or keep_runs or interference is not None
    soonest = _NEVER  # the first of `ends`, on lane `first`
    next_job = last = first = 0
    idle = count_of_lanes
    report_at = _NEVER if progress is None else 0
    ready.append(_NEVER)
    coming = ready[0]
    while True:
        if not idle:  # nothing can start before something ends
            while coming < soonest:
                release(Job(owner[next_job], next_job, arrival[next_job], due[next_job]), coming)
                next_job += 1
                coming = ready[next_job]
        now = coming if coming < soonest else soonest
        if wakes:
            now = min(now, *wakes.values())
        if now == _NEVER:
            break
        # Of all that happens at this instant, what ends comes first, and what starts last.
        while soonest == now:
            job, step, begun = running[first]
            ended = None if outcome_of is None else outcome_of(job, step)
            for action in step_done(first, now, now - begun, ended):
                if type(action) is Finished:
                    finished[job] = now
            if watched:
                busy[first] += now - begun
                if keep_runs:
                    runs.append(Run(job, step, begun, now, first))
                if interference is not None:
                    interference.ended(first, now)
            idle += 1
            if several:
                ends[first] = _NEVER
                soonest = min(ends)
                first = ends.index(soonest)
            else:
                soonest = _NEVER
            last = now
        while coming <= now:
            release(Job(owner[next_job], next_job, arrival[next_job], due[next_job]), now)
            next_job += 1
            coming = ready[next_job]
        for action in tick(now):
            if type(action) is Dispatch:
                lane = action.lane
                chosen = action.jobs[0]
                job, step = chosen.seq, chosen.step
                if started[job] < 0:
                    started[job] = now
                length = execution[job][step] + switch_ns
                running[lane] = (job, step, now)
                end = now + length
                if end < soonest:
                    soonest, first = end, lane
                idle -= 1
                if watched:
                    ends[lane] = end
                    if interference is not None:
                        interference.started(lane, owner[job], length, now)
                else:
                    busy[lane] += length
            elif type(action) is WakeAt:
                wakes[action.lane] = action.time_ns
        if wakes:
            # A lane that works has no use for it, and is asked when it ends.
            wakes = {lane: at for lane, at in wakes.items() if at > now}
        if next_job > report_at and progress is not None:
            progress(next_job)
            report_at = next_job + _REPORT_EVERY
        if interference is not None:
            ends = interference.ends(now)
            soonest = min(ends)
            first = ends.index(soonest)
    if keep_runs:
        runs.sort(key=lambda run: (run.start_ns, run.lane))
    return Outcome(
        tasks=tuple(tasks),
        workload=workload,
        deadline_ns=deadlines,
        started_ns=np.array(started, np.int64),
        finished_ns=np.array(finished, np.int64),
        lane_busy_ns=tuple(busy),
        end_ns=last,
        runs=tuple(runs),
        lanes=tuple(places),
    )
