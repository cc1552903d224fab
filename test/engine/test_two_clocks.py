"""One scheduler, two clocks: what a real engine did, the simulator does again."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import numpy as np
import pytest

from aegis_ros.analysis import AnalysisTask
from aegis_ros.scheduling import Actions, Dispatch, Job, Scheduler
from aegis_ros.simulation import Workload, plan_of, simulate
from aegis_ros.spec import Criticality, OverrunPolicy
from test.engine.bench import MS
from test.engine.inside import Inside, takes

HOUR = 3600 * 1000 * MS


class Recorder(Scheduler):
    """Notes when the engine reported what, and what it answered."""

    def __init__(self, lanes: int) -> None:
        super().__init__(lanes)
        self.released: list[tuple[Job, int]] = []
        # Of each lane: task, sequence number and step.
        self.order: list[list[tuple[int, int, int]]] = [[] for _ in range(lanes)]
        self.times: dict[tuple[int, int, int], int] = {}
        self._since = [0] * lanes

    def release(self, job: Job, now_ns: int) -> Actions:
        self.released.append((job, now_ns))
        return super().release(job, now_ns)

    def tick(self, now_ns: int) -> Actions:
        actions = super().tick(now_ns)
        for action in actions:
            if isinstance(action, Dispatch):
                (job,) = action.jobs
                self.order[action.lane].append((job.task_id, job.seq, job.step))
                self._since[action.lane] = now_ns
        return actions

    def step_done(
        self, lane: int, now_ns: int, taken_ns: int = 0, outcome: object = None
    ) -> Actions:
        # The simulator knows no time between the end of a step and the engine's word of it.
        taken_ns = self.times[self.order[lane][-1]] = now_ns - self._since[lane]
        return super().step_done(lane, now_ns, taken_ns, outcome)


# Relative deadline, budgets that are exceeded always or never, seconds a segment really takes.
TASKS = (
    ("urgent", 8 * MS, (HOUR,), (0.001,), Criticality.HIGH, OverrunPolicy.SKIP_NEXT),
    ("long", 60 * MS, (HOUR,) * 3, (0.002, 0.001, 0.003), Criticality.HIGH, OverrunPolicy.STOP),
    ("late", 20 * MS, (HOUR // 10**7, HOUR), (0.002,) * 2, Criticality.LOW, OverrunPolicy.DEMOTE),
    ("cut off", 30 * MS, (1, HOUR), (0.001,) * 2, Criticality.LOW, OverrunPolicy.STOP),
    ("rough", 40 * MS, (1, HOUR), (0.001,) * 2, Criticality.HIGH, OverrunPolicy.DEMOTE),
    ("brief", 50 * MS, (1, 1, HOUR), (0.001,) * 3, Criticality.LOW, OverrunPolicy.EARLY_EXIT),
    ("whole", 45 * MS, (5 * MS,) * 4, (0.002,) * 4, Criticality.LOW, OverrunPolicy.STOP),
    ("rest", 90 * MS, (HOUR,) * 2, (0.002,) * 2, Criticality.BEST_EFFORT, OverrunPolicy.SKIP_NEXT),
)
TOTALS = [5 * MS if name == "whole" else 0 for name, *_ in TASKS]
EXITS = [2 if policy is OverrunPolicy.EARLY_EXIT else 0 for *_, policy in TASKS]


@pytest.mark.parametrize("lanes", [1, 2])
def test_the_simulator_dispatches_what_a_real_run_dispatched(lanes: int) -> None:
    recorder = Recorder(lanes)
    engine = Inside(recorder, lanes)
    lane_of = [index % lanes for index in range(len(TASKS))]
    for index, (_, deadline, budgets, seconds, criticality, policy) in enumerate(TASKS):
        engine.load(
            index,
            *(takes(each) for each in seconds),
            lane=lane_of[index],
            deadline_ns=deadline,
            wcet_ns=budgets,
            criticality=criticality,
            on_overrun=policy,
            exit_after=EXITS[index],
            total_ns=TOTALS[index],
        )
    chance = random.Random(3)
    with engine:
        for _ in range(200):
            engine.feed(*chance.sample(range(len(TASKS)), lanes * chance.choice((1, 1, 1, 2, 3))))
            time.sleep(chance.choice((0.0, 0.001, 0.004)))
        engine.settle()

    jobs = [job for job, _ in recorder.released]
    keys = [(job.task_id, job.seq) for job in jobs]
    workload = Workload(
        np.array([job.task_id for job in jobs]),
        np.array([job.arrival_ns for job in jobs]),
        np.array([now for _, now in recorder.released]),
        [
            tuple(recorder.times.get((*key, part), MS) for part in range(len(TASKS[key[0]][2])))
            for key in keys
        ],
    )
    tasks = [
        AnalysisTask(
            name, budgets, 1000 * MS, deadline, criticality=criticality, total_ns=TOTALS[index]
        )
        for index, (name, deadline, budgets, _, criticality, _) in enumerate(TASKS)
    ]
    outcome = simulate(
        tasks,
        workload,
        lanes=lane_of,
        queue=1,
        on_overrun=[policy for *_, policy in TASKS],
        plans=[plan_of(task, exit_after=EXITS[index]) for index, task in enumerate(tasks)],
        low={
            index: plan_of(task)
            for index, task in enumerate(tasks)
            if task.criticality is Criticality.HIGH
        },
        keep_runs=True,
    )
    for lane, order in enumerate(recorder.order):
        again = [(*keys[run.job], run.step) for run in outcome.runs if run.lane == lane]
        assert again == order
    # It was a run worth repeating: jobs were overtaken, displaced, stopped (one task's for what
    # they took as a whole), demoted and shed, and ended at an early exit.
    reported = engine.reported
    ran = [each for order in recorder.order for each in order]
    early, whole = EXITS.index(2), TOTALS.index(5 * MS)
    assert not any(task == whole for task, _ in reported.done)
    assert not any(task == whole and part == 3 for task, _, part in ran)
    assert {part for task, _, part in ran if task == early} == {0, 1}
    assert any(task == early for task, _ in reported.done)
    assert {str(skip[2]) for skip in reported.skipped} == {"newer_frame", "overrun", "criticality"}
    for order in recorder.order:
        assert any(before[:2] != after[:2] and after[2] > 0 for before, after in pairwise(order))
