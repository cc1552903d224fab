"""A job: one activation of a task by one sensor message."""

from __future__ import annotations

from aegis_ros.rationale import Rule

__all__ = ["Job"]


class Job:
    """One activation of a task.

    Attributes:
        task_id: task it belongs to.
        seq: sequence number within the task, increasing.
        arrival_ns: nominal arrival; deadlines count from here.
        ready_ns: when the scheduler was told of it.
        deadline_ns: absolute deadline.
        segment: index of the segment to run next.
        payload: whatever the caller needs with it; opaque to the scheduler.
        displaced: the scheduler has dropped it; kept by the scheduler.
        reason: why it was dropped, where ``displaced`` is set; kept by the scheduler.
        used_ns: lane time it has used; kept by the scheduler.
        late: it is over its budget and waits for its early exit; kept by the scheduler.
        early: it has ended at its early exit; kept by the scheduler.
        rank: place in the order of its lane; kept by the scheduler.
    """

    __slots__ = (
        "arrival_ns",
        "deadline_ns",
        "displaced",
        "early",
        "late",
        "payload",
        "rank",
        "ready_ns",
        "reason",
        "segment",
        "seq",
        "task_id",
        "used_ns",
    )

    def __init__(
        self,
        task_id: int,
        seq: int,
        arrival_ns: int,
        deadline_ns: int,
        ready_ns: int = 0,
        payload: object = None,
    ) -> None:
        """Start at the first segment."""
        self.task_id = task_id
        self.seq = seq
        self.arrival_ns = arrival_ns
        self.deadline_ns = deadline_ns
        self.ready_ns = ready_ns
        self.payload = payload
        self.segment = 0
        self.displaced = False
        self.rank = 0
        self.reason: Rule | None = None
        self.used_ns = 0
        self.late = False
        self.early = False

    def __repr__(self) -> str:
        """Show the parts a person looks for."""
        return (
            f"Job(task={self.task_id}, seq={self.seq}, arrival={self.arrival_ns}, "
            f"deadline={self.deadline_ns}, segment={self.segment})"
        )
