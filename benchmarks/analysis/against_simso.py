"""The same non-preemptive EDF schedules from SimSo (Chéramy, Hladik & Déplanche 2014)."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis import AnalysisTask
from aegis_ros.simulation import periodic_arrivals, simulate

__all__ = ["Comparison", "compare", "is_installed"]

_Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """One set in both simulators.

    Attributes:
        jobs: simulated jobs that ended in both.
        unequal: how many of them differ in response time, by even a nanosecond.
        missed, missed_there: deadline misses here and in SimSo.
        jobs_a_second, jobs_a_second_there: speed, of a run alone (no set-up, no reading).
    """

    jobs: int
    unequal: int
    missed: int
    missed_there: int
    jobs_a_second: float
    jobs_a_second_there: float


def is_installed() -> bool:
    """Return whether SimSo can be imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import simso.core  # noqa: F401
        except ImportError:
            return False
    return True


def compare(
    tasks: Sequence[AnalysisTask], until_ns: int, generator: np.random.Generator
) -> Comparison:
    """Simulate periodic arrivals with random offsets in both.

    Args:
        tasks: of one segment, without jitter.
        until_ns: length of the simulation.
        generator: source of the offsets. They make it unlikely that a job arrives in the very
            nanosecond in which another ends, which the simulators may order differently.
    """
    offsets = [int(generator.integers(0, task.period_ns)) for task in tasks]
    workload = periodic_arrivals(tasks, until_ns, offsets)
    begin = time.perf_counter()
    outcome = simulate(tasks, workload)
    here_s = time.perf_counter() - begin
    there, there_s = _run(tasks, offsets, until_ns)
    jobs = unequal = missed = missed_there = 0
    for index, task in enumerate(tasks):
        own = outcome.response_ns[workload.task == index]
        other = there[index]
        ended = min(own.size, other.size)
        jobs += ended
        unequal += int(np.count_nonzero(own[:ended] != other[:ended]))
        missed += int(np.count_nonzero(own[:ended] > task.deadline_ns))
        missed_there += int(np.count_nonzero(other[:ended] > task.deadline_ns))
    total = sum(other.size for other in there)
    return Comparison(jobs, unequal, missed, missed_there, len(workload) / here_s, total / there_s)


def _run(
    tasks: Sequence[AnalysisTask], offsets: Sequence[int], until_ns: int
) -> tuple[list[_Array], float]:
    """Return response times of the jobs that ended in SimSo, by task, and seconds taken."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from simso.configuration import Configuration
        from simso.core import Model

        setting = Configuration()
        setting.cycles_per_ms = 1  # its unit of time is then the nanosecond, in integers
        setting.duration = until_ns
        setting.add_processor(name="lane", identifier=1)
        setting.scheduler_info.clas = _scheduler()
        for index, (task, offset) in enumerate(zip(tasks, offsets, strict=True)):
            setting.add_task(
                name=f"T{index}",
                identifier=index,
                abort_on_miss=False,
                period=task.period_ns,
                activation_date=offset,
                wcet=sum(task.segments_ns),
                deadline=task.deadline_ns,
            )
        setting.check_all()
        model = Model(setting)
        begin = time.perf_counter()
        model.run_model()
        elapsed = time.perf_counter() - begin
    responses = [
        np.array(
            [int(job.end_date - job.activation_date) for job in task.jobs if job.end_date],
            np.int64,
        )
        for task in model.task_list
    ]
    return responses, elapsed


def _scheduler() -> type:
    """Return non-preemptive EDF for SimSo, which has only the preemptive one."""
    from simso.core import Scheduler

    class NonPreemptiveEdf(Scheduler):  # type: ignore[misc]
        """Keeps what runs; otherwise the earliest deadline."""

        def init(self) -> None:
            """Start with nothing ready."""
            self.ready: list[Any] = []

        def on_activate(self, job: Any) -> None:
            """Note a job; decide only if the processor is free."""
            self.ready.append(job)
            if not job.cpu.is_running():
                job.cpu.resched()

        def on_terminated(self, job: Any) -> None:
            """Forget a job and decide."""
            self.ready.remove(job)
            job.cpu.resched()

        def schedule(self, cpu: Any) -> tuple[Any, Any]:
            """Return what is to run."""
            if cpu.running is not None:
                return cpu.running, cpu
            first = min(self.ready, key=lambda job: job.absolute_deadline, default=None)
            return first, cpu

    return NonPreemptiveEdf
