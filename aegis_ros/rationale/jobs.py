"""Jobs that were released: overruns, what follows from them, and jobs that give no result."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.rationale.names import Decision, Rule
from aegis_ros.rationale.reason import Inequality, Reason

__all__ = [
    "FirstStageMissed",
    "JobFailed",
    "JobNotRun",
    "JobStopped",
    "NoBoxes",
    "Overran",
    "RestoredAtIdle",
    "ShedForOverrun",
    "SkippedToRepay",
    "SkippedWhileShedding",
]


@dataclass(frozen=True, slots=True)
class JobFailed(Reason):
    """A job failed while it ran."""

    decision = Decision.SKIPPED
    rule = Rule.RUN_FAILED

    task: str
    job: int
    problem: str


@dataclass(frozen=True, slots=True)
class JobNotRun(Reason):
    """The engine did not run a job; ``problem`` says why not."""

    decision = Decision.SKIPPED

    task: str
    job: int
    rule: Rule
    problem: str


@dataclass(frozen=True, slots=True)
class Overran(Reason):
    """A segment, or a job as a whole, took longer than its budget.

    Attributes:
        task: whose job it was.
        job: sequence number of the job.
        lane: where it ran.
        segment: index of the segment.
        segments: how many the job has.
        taken_ns: how long the segment ran.
        budget_ns: its budget.
        used_ns: how long the job has run so far.
        whole_ns: budget of the job.
        applied: the task's overrun policy where it was applied to the job; empty where not.
        skips: how many jobs are skipped to repay it.
        absorbed: whether the proof has room for it.
        exit_after: number of segments after which the early exit is complete.
    """

    decision = Decision.INFORMED
    rule = Rule.OVERRUN

    task: str
    job: int
    lane: str
    segment: int
    segments: int
    taken_ns: int
    budget_ns: int
    used_ns: int
    whole_ns: int
    applied: str = ""
    skips: int = 0
    absorbed: bool = False
    exit_after: int = 0

    @property
    def over_ns(self) -> int:
        """By how much the segment exceeded its budget; 0 or less where only the job did."""
        return self.taken_ns - self.budget_ns

    def tested(self) -> Inequality:
        """Return the time taken against the budget, of the segment or else of the job."""
        if self.over_ns > 0:
            return Inequality(self.taken_ns / 1e6, ">", self.budget_ns / 1e6, "ms")
        return Inequality(self.used_ns / 1e6, ">", self.whole_ns / 1e6, "ms")


@dataclass(frozen=True, slots=True)
class SkippedToRepay(Reason):
    """A job is skipped to repay an earlier overrun of its task."""

    decision = Decision.SKIPPED
    rule = Rule.OVERRUN

    task: str
    job: int


@dataclass(frozen=True, slots=True)
class JobStopped(Reason):
    """A job was ended at its overrun (``on_overrun: stop``)."""

    decision = Decision.SKIPPED
    rule = Rule.OVERRUN

    task: str
    job: int


@dataclass(frozen=True, slots=True)
class SkippedWhileShedding(Reason):
    """The lane of a job runs only what is of high criticality."""

    decision = Decision.SKIPPED
    rule = Rule.CRITICALITY

    task: str
    job: int
    lane: str


@dataclass(frozen=True, slots=True)
class ShedForOverrun(Reason):
    """A task is shed after the overrun of a job of high criticality, until its lane goes idle."""

    decision = Decision.SHED
    rule = Rule.CRITICALITY

    task: str
    criticality: str
    lane: str
    overran_task: str
    overran_job: int


@dataclass(frozen=True, slots=True)
class RestoredAtIdle(Reason):
    """A task that was shed for an overrun runs again: its lane went idle."""

    decision = Decision.RESTORED
    rule = Rule.CRITICALITY

    task: str
    lane: str
    after_ns: int


@dataclass(frozen=True, slots=True)
class FirstStageMissed(Reason):
    """The task before it in a chain gave no result for a frame."""

    decision = Decision.SKIPPED
    rule = Rule.CHAIN

    task: str
    job: int
    first: str
    first_job: int


@dataclass(frozen=True, slots=True)
class NoBoxes(Reason):
    """The result of the task before it in a chain is of a kind that holds no boxes."""

    decision = Decision.SKIPPED
    rule = Rule.CHAIN

    task: str
    job: int
    first: str
