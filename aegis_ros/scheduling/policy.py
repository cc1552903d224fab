"""Policies: in which order ready jobs run, and when a lane idles on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from aegis_ros.scheduling.job import Job
from aegis_ros.scheduling.plans import ExecutionPlan
from aegis_ros.spec import Criticality

__all__ = ["Edf", "Policy", "TaskTiming"]


@dataclass(frozen=True, slots=True)
class TaskTiming:
    """What a policy knows about a task; integer nanoseconds.

    Attributes:
        task_id: unique.
        lane: index of its lane.
        plan: what its jobs are made of, with the budget of each step.
        period_ns: minimum inter-arrival time, 0 for unknown.
        deadline_ns: relative deadline, 0 for unknown.
        jitter_ns: release jitter.
        criticality: what is shed first.
    """

    task_id: int
    lane: int
    plan: ExecutionPlan
    period_ns: int = 0
    deadline_ns: int = 0
    jitter_ns: int = 0
    criticality: Criticality = Criticality.HIGH


class Policy(Protocol):
    """What a scheduler asks of a policy, and reports to it.

    ``priority`` is called once, when a job is released, and again before each step where
    ``reranks`` is true. ``hold_until`` is called where ``idles`` is true, each time the lane is
    idle, for the first job in line (and, where ``fills`` is true, for those behind it in turn
    when it is held). ``admit``, ``forget``, ``released``, ``started`` and ``shedding`` are called
    only where ``observes`` is true.
    """

    @property
    def observes(self) -> bool:
        """Whether the scheduler reports events to the policy."""
        ...

    @property
    def idles(self) -> bool:
        """Whether it may keep a lane idle while a job is ready."""
        ...

    @property
    def reranks(self) -> bool:
        """Whether the priority of a job changes from step to step, or when its lane sheds."""
        ...

    @property
    def fills(self) -> bool:
        """Whether a job behind one that is held may run before it."""
        ...

    def admit(self, task: TaskTiming) -> None:
        """Add a task."""
        ...

    def forget(self, task_id: int) -> None:
        """Remove a task."""
        ...

    def released(self, job: Job, now_ns: int) -> None:
        """Note that a job became ready."""
        ...

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Note that the step ``job.step`` starts."""
        ...

    def shedding(self, lane: int, on: bool) -> None:
        """Note that a lane enters or leaves high-criticality mode.

        On entry ``priority`` is called again for every ready job where ``reranks`` is true.
        """
        ...

    def priority(self, job: Job) -> int:
        """Return the job's rank; the smallest runs first."""
        ...

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Return 0 to start ``job`` now, or the time until which it must not start."""
        ...


class Edf:
    """Earliest deadline first, work-conserving (Liu & Layland 1973)."""

    __slots__ = ()
    observes = False
    idles = False
    reranks = False
    fills = False

    def admit(self, task: TaskTiming) -> None:
        """Do nothing."""

    def forget(self, task_id: int) -> None:
        """Do nothing."""

    def released(self, job: Job, now_ns: int) -> None:
        """Do nothing."""

    def started(self, lane: int, job: Job, now_ns: int) -> None:
        """Do nothing."""

    def shedding(self, lane: int, on: bool) -> None:
        """Do nothing."""

    def priority(self, job: Job) -> int:
        """Return the absolute deadline."""
        return job.deadline_ns

    def hold_until(self, lane: int, job: Job, now_ns: int) -> int:
        """Never idle while a job is ready."""
        return 0
