"""A simulation on its way: what is to run, and what has become of it so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt

from aegis_ros.errors import ConfigError
from aegis_ros.scheduling import Job, Policy, Scheduler
from aegis_ros.simulation.outcome import Run
from aegis_ros.simulation.workload import Workload

__all__ = ["MOST_HOLDS", "NEVER", "REPORT_EVERY", "Course"]

NEVER = 1 << 62
REPORT_EVERY = 10_000  # jobs between two reports of progress
MOST_HOLDS = 100_000  # one after the other, while no job arrives and none starts
_AFTER_ALL = NEVER - 1


@dataclass(slots=True)
class Course:
    """Goes through a workload once; times in ns, -1 for what has not happened.

    Attributes:
        scheduler: what decides; it knows all tasks.
        policy: what orders jobs; ``None`` for the scheduler's own.
        workload: the jobs.
        deadlines_ns: int64 [N], absolute, of each job.
        lanes: how many there are.
        switch_ns: added to every step.
        outcome_of: outcome of a step that has ended, by job, step and time; ``None`` without plans
            that ask for it.
        keep_runs: whether every step is noted in ``runs``.
        progress: called now and then with the number of jobs released.
        started_ns: start of the first step of each job.
        finished_ns: end of the last step of each job.
        busy_ns: for how long each lane was executing.
        end_ns: when the last step ended.
        runs: every step, in the order in which they ended.
    """

    scheduler: Scheduler
    policy: Policy | None
    workload: Workload
    deadlines_ns: npt.NDArray[np.int64]
    lanes: int
    switch_ns: int
    outcome_of: Callable[[int, int, int], object] | None
    keep_runs: bool
    progress: Callable[[int], None] | None
    started_ns: list[int] = field(init=False)
    finished_ns: list[int] = field(init=False)
    busy_ns: list[int] = field(init=False)
    end_ns: int = 0
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin before the first job."""
        self.started_ns = [-1] * len(self.workload)
        self.finished_ns = [-1] * len(self.workload)
        self.busy_ns = [0] * self.lanes

    @property
    def execution_ns(self) -> Sequence[Sequence[int]]:
        """Time of each step of each job, without the switch."""
        return self.workload.execution_ns

    def arrivals(self) -> Iterator[tuple[Job | None, int]]:
        """Return each job and when it is ready, and after all of them no job."""
        work = self.workload
        owners, count = work.task.tolist(), range(len(work))
        # Iterators in C: a million jobs are made here.
        jobs = map(Job, owners, count, work.arrival_ns.tolist(), self.deadlines_ns.tolist())
        return chain(zip(jobs, work.ready_ns.tolist(), strict=True), [(None, _AFTER_ALL)])

    def endless(self, now_ns: int) -> ConfigError:
        """Return what is wrong with a policy that holds lanes again and again.

        Args:
            now_ns: when it did so for the last time.
        """
        return ConfigError(
            f"lanes were held {MOST_HOLDS:,} times while no job arrived and none started, at last "
            f"at {now_ns / 1e6:g} ms",
            where="policy",
            value=type(self.policy).__name__,
            expected="hold_until that returns the time at which a job may start, or 0",
            hint="Return the end of the whole gap, and not a moment from now",
        )
