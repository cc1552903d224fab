"""What became of simulated jobs, with the figures people ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from aegis_ros.analysis.task import AnalysisTask
from aegis_ros.simulation.workload import Workload

__all__ = ["Outcome", "Run", "TaskFigures"]

_Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """One step that ran: index of its job in the workload, step, start, end and lane."""

    job: int
    step: int
    start_ns: int
    end_ns: int
    lane: int = 0


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """Figures of one task; response times count from arrival, 0 where no job ended."""

    name: str
    jobs: int
    finished: int
    skipped: int
    missed: int
    response_p50_ns: int
    response_p99_ns: int
    response_max_ns: int


@dataclass(frozen=True)
class Outcome:
    """Times of all jobs of a workload, in its order; -1 where something did not happen.

    Attributes:
        tasks: as simulated.
        workload: as simulated.
        deadline_ns: int64 [N], absolute.
        started_ns: int64 [N], start of the first step.
        finished_ns: int64 [N], end of the last step; -1 for a job that was skipped.
        lane_busy_ns: for how long each lane was executing.
        end_ns: when the last thing happened.
        runs: every step in the order of their starts, if asked for.
        lanes: index of the lane of each task.
    """

    tasks: tuple[AnalysisTask, ...]
    workload: Workload
    deadline_ns: _Array
    started_ns: _Array
    finished_ns: _Array
    lane_busy_ns: tuple[int, ...]
    end_ns: int
    runs: tuple[Run, ...] = ()
    lanes: tuple[int, ...] = ()

    @property
    def busy_ns(self) -> int:
        """For how long lanes were executing, all together."""
        return sum(self.lane_busy_ns)

    def on_lane(self, lane: int) -> Outcome:
        """Return the part of one lane, with its tasks and jobs numbered anew from 0."""
        own = [index for index, where in enumerate(self.lanes) if where == lane]
        tasks = {index: number for number, index in enumerate(own)}
        mask = np.isin(self.workload.task, own)
        jobs = np.cumsum(mask) - 1
        return Outcome(
            tasks=tuple(self.tasks[index] for index in own),
            workload=self.workload.of_tasks(tasks),
            deadline_ns=self.deadline_ns[mask],
            started_ns=self.started_ns[mask],
            finished_ns=self.finished_ns[mask],
            lane_busy_ns=(self.lane_busy_ns[lane],),
            end_ns=self.end_ns,
            runs=tuple(
                replace(run, job=int(jobs[run.job]), lane=0)
                for run in self.runs
                if run.lane == lane
            ),
            lanes=(0,) * len(own),
        )

    @property
    def response_ns(self) -> _Array:
        """Arrival to end, int64 [N]; -1 for a job that was skipped."""
        return np.where(self.finished_ns < 0, -1, self.finished_ns - self.workload.arrival_ns)

    @property
    def missed(self) -> npt.NDArray[np.bool_]:
        """Whether a job ended after a deadline it was promised, bool [N]; not one that never ended.

        Best effort is promised none.
        """
        promised = np.array([not task.best_effort for task in self.tasks], bool)
        late: npt.NDArray[np.bool_] = promised[self.workload.task] & (
            self.finished_ns > self.deadline_ns
        )
        return late

    @property
    def skipped(self) -> npt.NDArray[np.bool_]:
        """Whether a job never ended, bool [N]."""
        never: npt.NDArray[np.bool_] = self.finished_ns < 0
        return never

    @property
    def utilization(self) -> float:
        """Share of the simulated time in which a lane was executing; the mean of all lanes."""
        whole_ns = self.end_ns * len(self.lane_busy_ns)
        return self.busy_ns / whole_ns if whole_ns > 0 else 0.0

    def worst_response_ns(self) -> _Array:
        """Return the longest response time of each task, int64 [tasks]; -1 where none ended."""
        worst = np.full(len(self.tasks), -1, np.int64)
        np.maximum.at(worst, self.workload.task, self.response_ns)
        return worst

    def figures(self) -> Sequence[TaskFigures]:
        """Return the figures of every task."""
        result = []
        response, skipped, missed = self.response_ns, self.skipped, self.missed
        by_task = np.argsort(self.workload.task, kind="stable")
        edges = np.searchsorted(self.workload.task[by_task], np.arange(len(self.tasks) + 1))
        for index, task in enumerate(self.tasks):
            own = by_task[edges[index] : edges[index + 1]]
            ended = response[own][~skipped[own]]
            p50, p99, top = (
                (int(np.percentile(ended, 50)), int(np.percentile(ended, 99)), int(ended.max()))
                if ended.size
                else (0, 0, 0)
            )
            result.append(
                TaskFigures(
                    task.name,
                    int(own.size),
                    int(ended.size),
                    int(skipped[own].sum()),
                    int(missed[own].sum()),
                    p50,
                    p99,
                    top,
                )
            )
        return result
