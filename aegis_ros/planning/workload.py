"""Makes the jobs that a simulation runs: when they arrive and how long they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis import AnalysisTask
from aegis_ros.errors import ConfigError
from aegis_ros.planning.answer import Answer
from aegis_ros.planning.critical import case_of
from aegis_ros.simulation import (
    Workload,
    bursty_arrivals,
    critical_arrivals,
    periodic_arrivals,
    sporadic_arrivals,
)

__all__ = ["ARRIVALS", "EXECUTIONS", "make_workload"]

ARRIVALS = ("periodic", "sporadic", "bursty", "critical")
EXECUTIONS = ("budget", "uniform", "profile")

_UNIFORM_ROWS = 1_000
_LEAST_SHARE = 0.3  # of a budget, where execution times are drawn


def make_workload(
    answer: Answer,
    lane: str,
    tasks: tuple[AnalysisTask, ...],
    until_ns: int,
    *,
    generator: np.random.Generator,
    arrivals: str,
    execution: str,
    overrun: float = 0.0,
) -> Workload:
    """Return the jobs of one lane.

    Args:
        answer: of the set; its verdict names the critical pattern.
        lane: name.
        tasks: on the lane.
        until_ns: last arrival, exclusive.
        generator: source of chance.
        arrivals: one of :data:`ARRIVALS`.
        execution: one of :data:`EXECUTIONS`.
        overrun: probability that a job exceeds its budgets, of tasks that may: by all that the
            high ones allow, or with ``uniform`` by a random part of it.

    Raises:
        ConfigError: the critical pattern is asked for where the test gives none.
    """
    asked = answer.asked
    if arrivals == "critical":
        case = case_of(answer, answer.assignment.verdicts[lane])
        verdict = case.verdict
        witness = verdict.witness
        if witness is None:
            raise ConfigError(
                f"the test of lane {lane} gives no critical instant: {verdict.sentence}",
                where="--arrivals",
                value=arrivals,
                hint="Use --arrivals bursty",
            )
        if verdict.schedulable:  # the densest there is; a failure is shown up to its miss
            witness = replace(witness, t_ns=until_ns)
        made = critical_arrivals(case.tasks, witness, switch_ns=asked.switch_ns)
        made = _renumbered(made, case.tasks, tasks)
    elif arrivals == "bursty":
        made = bursty_arrivals(tasks, until_ns)
    elif arrivals == "periodic":
        made = periodic_arrivals(tasks, until_ns)
    else:
        made = sporadic_arrivals(tasks, until_ns, generator, shortest=1.0)
    if execution == "uniform":
        made = _with_executions(made, tasks, _uniform(tasks, generator), generator)
    if execution == "profile":
        made = _with_executions(made, tasks, asked.samples_ns, generator)
    if overrun > 0.0:
        made = _with_overruns(made, tasks, overrun, execution == "uniform", generator=generator)
    return made


def _renumbered(
    workload: Workload, own: Sequence[AnalysisTask], tasks: Sequence[AnalysisTask]
) -> Workload:
    """Return jobs of some tasks, in an order of their own, as jobs of all; no steps of generators.

    Those always have something to run in a simulation, whatever the pattern has them begin.
    """
    place = {task.name: index for index, task in enumerate(tasks)}
    kept = workload.of_tasks(
        {number: place[task.name] for number, task in enumerate(own) if task.name in place}
    )
    return Workload.of(kept.task, kept.arrival_ns, kept.ready_ns, kept.execution_ns)


def _with_overruns(
    workload: Workload,
    tasks: Sequence[AnalysisTask],
    probability: float,
    partly: bool,
    *,
    generator: np.random.Generator,
) -> Workload:
    """Return the workload with budgets exceeded, each job's by chance, up to the high ones."""
    hit = (generator.random(len(workload)) < probability).tolist()
    share = (generator.random(len(workload)) if partly else np.ones(len(workload))).tolist()
    execution = [
        _held_to(
            tasks[task].at_high().work_ns,
            tuple(
                low + ceil(much * (high - low))
                for low, high in zip(
                    tasks[task].segments_ns, tasks[task].high_segments_ns, strict=True
                )
            ),
        )
        if late and tasks[task].high_segments_ns
        else parts
        for task, parts, late, much in zip(
            workload.task.tolist(), workload.execution_ns, hit, share, strict=True
        )
    ]
    return Workload(workload.task, workload.arrival_ns, workload.ready_ns, execution)


def _uniform(
    tasks: Sequence[AnalysisTask], generator: np.random.Generator
) -> Mapping[str, npt.NDArray[np.int64]]:
    rows = {
        task.name: np.maximum(
            1,
            np.array(task.segments_ns)
            * generator.uniform(_LEAST_SHARE, 1.0, (_UNIFORM_ROWS, len(task.segments_ns))),
        ).astype(np.int64)
        for task in tasks
    }
    for task in tasks:
        if task.total_ns:
            held = [_held_to(task.total_ns, row) for row in rows[task.name].tolist()]
            rows[task.name] = np.array(held, np.int64)
    return rows


def _held_to(whole_ns: int, parts: Sequence[int]) -> tuple[int, ...]:
    """Return the times of segments, shortened alike where they are longer than a whole job."""
    taken = sum(parts)
    if taken <= whole_ns:
        return tuple(parts)
    return tuple(part * whole_ns // taken for part in parts)


def _with_executions(
    workload: Workload,
    tasks: Sequence[AnalysisTask],
    samples_ns: Mapping[str, npt.NDArray[np.int64]],
    generator: np.random.Generator,
) -> Workload:
    """Return the workload with execution times drawn from samples, where a task has any."""
    rows = [
        [tuple(row) for row in samples_ns[task.name].tolist()] if task.name in samples_ns else []
        for task in tasks
    ]
    drawn = generator.random(len(workload)).tolist()
    execution = [
        own[int(share * len(own))] if (own := rows[task]) else parts
        for task, share, parts in zip(
            workload.task.tolist(), drawn, workload.execution_ns, strict=True
        )
    ]
    return Workload(workload.task, workload.arrival_ns, workload.ready_ns, execution)
