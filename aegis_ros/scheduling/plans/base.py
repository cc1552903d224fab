"""The seam between the scheduler and whatever a job does step by step."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["ExecutionPlan"]


@runtime_checkable
class ExecutionPlan(Protocol):
    """Which steps a job takes, and what each may cost. Immutable, and the same for all jobs.

    Steps are numbers from 0 to ``steps - 1``: a menu, not an order. A cut network takes them one
    after the other, a generator comes back to its decode step until the text has ended, a remote
    call goes to its fallback where no answer came. A plan never blocks and does no I/O: what
    happened is handed in as ``outcome``.
    """

    @property
    def steps(self) -> int:
        """Size of the menu, at least 1."""
        ...

    @property
    def branches(self) -> bool:
        """Whether the next step depends on what came out of the last."""
        ...

    @property
    def total_ns(self) -> int:
        """Budget of a whole job in whole ns, switch costs included; 0 where only steps have one.

        A job of a plan that branches is stopped when it would go on after twenty times this.
        """
        ...

    @property
    def exit_after(self) -> int:
        """Number of steps after which its early exit is complete; 0 for none."""
        ...

    def first(self) -> int:
        """Return the step a job begins with."""
        ...

    def after(self, step: int, outcome: object) -> int | None:
        """Return the step that follows, ``None`` when the job is done.

        Args:
            step: the one that has ended.
            outcome: what its backend made of it; ``None`` where steps do not depend on that.
        """
        ...

    def limit(self, step: int) -> int:
        """Return the budget of a step in whole ns, switch cost included; 0 for unknown."""
        ...

    def remaining_ns(self, step: int) -> int:
        """Return the most that a job still takes which begins ``step`` now; 0 for unknown."""
        ...
