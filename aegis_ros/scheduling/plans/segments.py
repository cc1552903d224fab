"""Networks that run in one piece or in segments, from the first to the last."""

from __future__ import annotations

import msgspec

__all__ = ["EarlyExitPlan", "SegmentPlan"]


class SegmentPlan(msgspec.Struct, frozen=True, tag="segments"):
    """A network in 1..K segments.

    Attributes:
        steps: number of segments, at least 1.
        budgets_ns: budget of each segment, switch cost included; empty for unknown.
        total_ns: budget of a whole job; 0 for the sum of its segments. The first k segments may
            take no more than it, nor than the sum of theirs.
    """

    steps: int = 1
    budgets_ns: tuple[int, ...] = ()
    total_ns: int = 0

    def __post_init__(self) -> None:
        """Check the parts against each other.

        Raises:
            ValueError: there is no segment, or not one budget for each.
        """
        if self.steps < 1:
            raise ValueError(f"a plan needs at least one segment, got {self.steps}")
        if self.budgets_ns and len(self.budgets_ns) != self.steps:
            raise ValueError(f"{len(self.budgets_ns)} budgets for {self.steps} segments")

    @property
    def branches(self) -> bool:
        """Segments follow each other whatever they compute."""
        return False

    @property
    def exit_after(self) -> int:
        """It has no early exit."""
        return 0

    def first(self) -> int:
        """Begin with the first segment."""
        return 0

    def after(self, step: int, outcome: object) -> int | None:
        """Go on with the next segment, whatever came out of the last."""
        return step + 1 if step + 1 < self.steps else None

    def limit(self, step: int) -> int:
        """Return the budget of a segment in ns; 0 for unknown."""
        return self.budgets_ns[step] if self.budgets_ns else 0

    def remaining_ns(self, step: int) -> int:
        """Return the budgets of this segment and all that follow, in ns."""
        return sum(self.budgets_ns[step:])


class EarlyExitPlan(SegmentPlan, frozen=True, tag="early_exit"):
    """A network that has a result worth having before its last segment.

    Attributes:
        exit_after: number of segments after which that result is complete, 1..K-1.
    """

    exit_after: int = 1  # type: ignore[assignment]

    def __post_init__(self) -> None:
        """Check the parts against each other.

        Raises:
            ValueError: the exit is no earlier than the end, or as for any network.
        """
        SegmentPlan.__post_init__(self)
        if not 0 < self.exit_after < self.steps:
            raise ValueError(f"an exit after {self.exit_after} of {self.steps} segments")
