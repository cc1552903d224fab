"""A job: one activation of a task."""

from __future__ import annotations

__all__ = ["BEGUN", "DROPPED", "EARLY", "LATE", "NEW", "Job"]

# States of a job; private to the scheduler.
NEW, BEGUN, LATE, EARLY, DROPPED = range(5)


class Job:
    """One activation of a task.

    Attributes:
        task_id: task it belongs to.
        seq: sequence number within the task, increasing.
        arrival_ns: nominal arrival; deadlines count from here.
        deadline_ns: absolute deadline.
        payload: opaque data of the caller.
        state: ``NEW``; ``BEGUN``; ``LATE`` while over its budget on the way to its early exit;
            ``EARLY`` when it has ended there; ``DROPPED``. The scheduler maintains this and all
            attributes below.
        ready_ns: when it was released to the scheduler.
        step: the step that runs now, or next.
        rank: place in the order of its lane.
        used_ns: lane time it has used; only where its task has budgets.
        allowed_ns: budgets of the steps that have ended; only with budgets, too.
    """

    __slots__ = (
        "allowed_ns",
        "arrival_ns",
        "deadline_ns",
        "payload",
        "rank",
        "ready_ns",
        "seq",
        "state",
        "step",
        "task_id",
        "used_ns",
    )

    used_ns: int
    allowed_ns: int

    def __init__(
        self,
        task_id: int,
        seq: int,
        arrival_ns: int,
        deadline_ns: int,
        *,
        payload: object = None,
    ) -> None:
        """Create a job that has not run yet."""
        self.task_id = task_id
        self.seq = seq
        self.arrival_ns = arrival_ns
        self.deadline_ns = deadline_ns
        self.payload = payload
        self.state = NEW
        self.ready_ns = 0
        self.step = 0
        self.rank = 0

    def __repr__(self) -> str:
        """Show task, number and times."""
        return (
            f"Job(task={self.task_id}, seq={self.seq}, arrival={self.arrival_ns}, "
            f"deadline={self.deadline_ns})"
        )
