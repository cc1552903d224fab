"""Drives the engine's own scheduler under a virtual clock, on all lanes at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.scheduling import (
    EarlyExitPlan,
    ExecutionPlan,
    Policy,
    Scheduler,
    SegmentPlan,
)
from aegis_ros.simulation.course import Course
from aegis_ros.simulation.interference import Interference, Slowdown
from aegis_ros.simulation.lanes import run_lanes
from aegis_ros.simulation.one_lane import run_one_lane
from aegis_ros.simulation.outcome import Outcome
from aegis_ros.simulation.workload import Workload
from aegis_ros.spec import OverrunPolicy

__all__ = ["plan_of", "simulate"]


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
    outcome_of: Callable[[int, int, int], object] | None = None,
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
            workload, step, present time).
        slowdown: by what factor work of one task takes longer while another runs on another lane;
            without, lanes do not slow each other.
        keep_runs: also return every step that ran.
        progress: called now and then with the number of jobs released.

    Raises:
        ConfigError: the policy holds lanes for moments only, without end.
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
    course = Course(
        scheduler=scheduler,
        policy=policy,
        workload=workload,
        deadlines_ns=deadlines,
        lanes=count_of_lanes,
        switch_ns=switch_ns,
        outcome_of=outcome_of,
        keep_runs=keep_runs,
        progress=progress,
    )
    if count_of_lanes == 1:
        run_one_lane(course)
    elif slowdown is None:
        run_lanes(course)
    else:
        run_lanes(course, Interference(count_of_lanes, slowdown))
    return Outcome(
        tasks=tuple(tasks),
        workload=workload,
        deadline_ns=deadlines,
        started_ns=np.array(course.started_ns, np.int64),
        finished_ns=np.array(course.finished_ns, np.int64),
        lane_busy_ns=tuple(course.busy_ns),
        end_ns=course.end_ns,
        runs=tuple(sorted(course.runs, key=lambda run: (run.start_ns, run.lane))),
        lanes=tuple(places),
    )
