"""What a simulated lane is asked to do: jobs with their times, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
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
        ready_ns: int64 [N], when the scheduler is told.
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
        kept = ~((self.task == task) & (self.arrival_ns >= from_ns) & (self.arrival_ns < to_ns))
        execution = [
            parts for parts, keep in zip(self.execution_ns, kept.tolist(), strict=True) if keep
        ]
        return Workload(self.task[kept], self.arrival_ns[kept], self.ready_ns[kept], execution)
