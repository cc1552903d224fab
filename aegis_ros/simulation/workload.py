"""What a simulated lane is asked to do: jobs with their times, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Workload"]

_Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Workload:
    """Jobs in the order in which they become ready; integer nanoseconds.

    Attributes:
        task: int64 [N], index of the task.
        arrival_ns: int64 [N], nominal arrival; deadlines count from here.
        ready_ns: int64 [N], when the job is released to the scheduler.
        execution_ns: for each job one entry a segment.
    """

    task: _Array
    arrival_ns: _Array
    ready_ns: _Array
    execution_ns: Sequence[tuple[int, ...]]

    @staticmethod
    def of(
        task: _Array,
        arrival_ns: _Array,
        ready_ns: _Array,
        execution_ns: Sequence[tuple[int, ...]],
    ) -> Workload:
        """Sort jobs by the time at which they become ready, then by task, then by arrival."""
        order = np.lexsort((arrival_ns, task, ready_ns))
        return Workload(
            task[order],
            arrival_ns[order],
            ready_ns[order],
            [execution_ns[index] for index in order.tolist()],
        )

    def __len__(self) -> int:
        """Return the number of jobs."""
        return int(self.task.size)

    def with_overruns(
        self, task: int, factor: float, probability: float, generator: np.random.Generator
    ) -> Workload:
        """Let jobs of a task exceed their budget.

        Args:
            task: index of the task.
            factor: on every segment of a job that overruns.
            probability: of each job.
            generator: source of chance.
        """
        hit = (self.task == task) & (generator.random(self.task.size) < probability)
        execution = [
            tuple(max(1, round(part * factor)) for part in parts) if late else parts
            for parts, late in zip(self.execution_ns, hit.tolist(), strict=True)
        ]
        return Workload(self.task, self.arrival_ns, self.ready_ns, execution)

    def without(self, task: int, from_ns: int, to_ns: int) -> Workload:
        """Take out the jobs of a task that arrive in [from, to): a sensor that falls silent."""
        own = (self.task == task) & (self.arrival_ns >= from_ns) & (self.arrival_ns < to_ns)
        return self._kept(~own)

    def with_lost(self, task: int, probability: float, generator: np.random.Generator) -> Workload:
        """Take out jobs of a task whose frames are lost on the way, each by chance."""
        lost = (self.task == task) & (generator.random(self.task.size) < probability)
        return self._kept(~lost)

    def with_late(
        self, task: int, most_ns: int, probability: float, generator: np.random.Generator
    ) -> Workload:
        """Let frames of a task come later than their jitter allows, one still after the other.

        Args:
            task: index of the task.
            most_ns: longest delay, on top of what a frame has.
            probability: of each frame.
            generator: source of chance.
        """
        own = np.nonzero(self.task == task)[0]
        hit = generator.random(own.size) < probability
        delay = np.where(hit, generator.integers(1, max(1, most_ns) + 1, own.size), 0)
        ready = self.ready_ns.copy()
        if own.size:
            ready[own] = np.maximum.accumulate(ready[own] + delay)
        return Workload.of(self.task, self.arrival_ns, ready, self.execution_ns)

    def with_samples(
        self, task: int, samples_ns: _Array, generator: np.random.Generator
    ) -> Workload:
        """Draw the execution times of a task's jobs from measured runs.

        Args:
            task: index of the task.
            samples_ns: int64 [runs, segments], such as a profile keeps.
            generator: source of chance.
        """
        rows = iter(
            samples_ns[
                generator.integers(0, samples_ns.shape[0], int((self.task == task).sum()))
            ].tolist()
        )
        execution = [
            tuple(next(rows)) if owner == task else parts
            for owner, parts in zip(self.task.tolist(), self.execution_ns, strict=True)
        ]
        return Workload(self.task, self.arrival_ns, self.ready_ns, execution)

    def of_tasks(self, numbers: Mapping[int, int]) -> Workload:
        """Return the jobs of some tasks, with these new numbers by their old ones."""
        kept = self._kept(np.isin(self.task, list(numbers)))
        task = np.array([numbers[each] for each in kept.task.tolist()], np.int64)
        return Workload(task, kept.arrival_ns, kept.ready_ns, kept.execution_ns)

    def beside(self, other: Workload, first: int) -> Workload:
        """Return these jobs and those of another set, whose tasks are numbered from ``first``."""
        return Workload.of(
            np.concatenate([self.task, other.task + first]),
            np.concatenate([self.arrival_ns, other.arrival_ns]),
            np.concatenate([self.ready_ns, other.ready_ns]),
            [*self.execution_ns, *other.execution_ns],
        )

    def _kept(self, kept: npt.NDArray[np.bool_]) -> Workload:
        execution = [
            parts for parts, keep in zip(self.execution_ns, kept.tolist(), strict=True) if keep
        ]
        return Workload(self.task[kept], self.arrival_ns[kept], self.ready_ns[kept], execution)
