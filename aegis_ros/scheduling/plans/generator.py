"""Networks that generate token after token: prefill in chunks, then one decode after the other."""

from __future__ import annotations

from itertools import pairwise
from operator import index

import msgspec

__all__ = ["GeneratorPlan"]


class GeneratorPlan(msgspec.Struct, frozen=True, tag="generator"):
    """Goes through buckets, each cut into parts, in the order that the outcomes ask for.

    A bucket is one shape the network was measured with: a chunk of so many tokens of a prompt, or
    one decode for so many answers at once. Its parts run one after the other, and a more urgent job
    may run between any two. A job is one answer, or several that are decoded together. It begins
    with bucket 0, since only what runs it knows how long the prompt is: that is best the smallest
    chunk.

    Attributes:
        budgets_ns: budget of each part of each bucket, bucket after bucket, at its largest context
            and with the switch.
        begins: first step of each bucket, increasing; the first is 0.
        prefills: how many buckets, the first ones, are chunks of a prompt.
        total_ns: budget of a whole job; 0 for none.
    """

    budgets_ns: tuple[int, ...]
    begins: tuple[int, ...]
    prefills: int
    total_ns: int = 0

    def __post_init__(self) -> None:
        """Check the parts against each other.

        Raises:
            ValueError: buckets have no steps, steps no bucket, or there is no decode.
        """
        edges = (*self.begins, len(self.budgets_ns))
        if edges[0] != 0 or any(one >= other for one, other in pairwise(edges)):
            raise ValueError(
                f"buckets that begin at {self.begins} do not divide {len(self.budgets_ns)} steps"
            )
        if not 0 < self.prefills < len(self.begins):
            raise ValueError(
                f"{self.prefills} of {len(self.begins)} buckets are chunks of a prompt; expected "
                "at least one, and a decode after them"
            )

    @property
    def steps(self) -> int:
        """Parts of all buckets."""
        return len(self.budgets_ns)

    @property
    def branches(self) -> bool:
        """Each outcome says with which bucket it goes on."""
        return True

    @property
    def exit_after(self) -> int:
        """From its first decode on, a job has a text that is worth having."""
        return self.begins[self.prefills] + 1

    def first(self) -> int:
        """Begin with the first bucket."""
        return 0

    def after(self, step: int, outcome: object) -> int | None:
        """Go on with the next part, after the last one with the bucket that the outcome names.

        Args:
            step: the one that has ended.
            outcome: number of the bucket to go on with; ``None`` where the answer has ended, or was
                cancelled, in the middle of a bucket, too.

        Raises:
            TypeError: the outcome is no number.
            ValueError: it is none of a bucket.
        """
        if outcome is None:
            return None
        following = step + 1
        if following < len(self.budgets_ns) and following not in self.begins:
            return following
        bucket = index(outcome)  # type: ignore[arg-type]  # a backend may say anything
        if not 0 <= bucket < len(self.begins):
            raise ValueError(f"the outcome names bucket {bucket} of {len(self.begins)}")
        return self.begins[bucket]

    def limit(self, step: int) -> int:
        """Return the budget of a part in ns; 0 for unknown."""
        return self.budgets_ns[step]

    def remaining_ns(self, step: int) -> int:
        """Return 0: nobody knows how long an answer becomes."""
        return 0
