"""One scheduler, two clocks: what a real engine did, the simulator does again."""

from __future__ import annotations

import random
import time

import numpy as np

from aegis_ros.analysis import AnalysisTask
from aegis_ros.scheduling import Job, Scheduler
from aegis_ros.simulation import Workload, simulate
from aegis_ros.spec import Criticality, OverrunPolicy
from test.engine.bench import MS
from test.engine.inside import Inside, takes

HOUR = 3600 * 1000 * MS


class Recorder(Scheduler):
    """Notes when the engine told it what, and what it answered."""

    def __init__(self) -> None:
        super().__init__(1)
        self.released: list[tuple[Job, int]] = []
        self.order: list[tuple[int, int, int]] = []  # task, sequence number, segment
        self.times: dict[tuple[int, int, int], int] = {}
        self._begun = 0

    def release(self, job: Job, now_ns: int) -> Job | None:
        self.released.append((job, now_ns))
        return super().release(job, now_ns)

    def dispatch(self, lane: int, now_ns: int) -> Job | None:
        job = super().dispatch(lane, now_ns)
        if job is not None:
            self.order.append((job.task_id, job.seq, job.segment))
            self._begun = now_ns
        return job

    def segment_done(self, lane: int, now_ns: int, taken_ns: int = 0) -> Job | None:
        self.times[self.order[-1]] = now_ns - self._begun
        return super().segment_done(lane, now_ns, taken_ns)


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


def test_the_simulator_dispatches_what_a_real_run_dispatched() -> None:
    recorder = Recorder()
    engine = Inside(recorder)
    for index, (_, deadline, budgets, seconds, criticality, policy) in enumerate(TASKS):
        engine.load(
            index,
            *(takes(each) for each in seconds),
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
            engine.feed(*chance.sample(range(len(TASKS)), chance.choice((1, 1, 1, 2, 3))))
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
        queue=1,
        on_overrun=[policy for *_, policy in TASKS],
        exit_after=EXITS,
        low_budgets_ns={
            index: task.segments_ns
            for index, task in enumerate(tasks)
            if task.criticality is Criticality.HIGH
        },
        keep_runs=True,
    )
    again = [(*keys[run.job], run.segment) for run in outcome.runs]
    assert again == recorder.order
    # It was a run worth repeating: jobs were overtaken, displaced, stopped (one task's for what
    # they took as a whole), demoted and shed, and ended at an early exit.
    told = engine.told
    early, whole = EXITS.index(2), TOTALS.index(5 * MS)
    assert not any(task == whole for task, _ in told.done)
    assert not any(task == whole and part == 3 for task, _, part in recorder.order)
    assert {part for task, _, part in recorder.order if task == early} == {0, 1}
    assert any(task == early for task, _ in told.done)
    assert {str(skip[2]) for skip in told.skipped} == {"newer_frame", "overrun", "criticality"}
    assert any(
        before[:2] != after[:2] and after[2] > 0
        for before, after in zip(recorder.order, recorder.order[1:], strict=False)
    )
