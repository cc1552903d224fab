"""Weights that are loaded segment by segment: which of them stay, what that takes, what it costs.

The test is the first one that is sound beside others: loading and computing are one budget. A
segment whose weights do not stay is loaded when its turn comes, into the place that the one before
it leaves, and then computes; a loader that begins earlier only makes the wait shorter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["StreamPlan", "StreamedSegment", "most_resident", "stream_plan"]


@dataclass(frozen=True, slots=True)
class StreamedSegment:
    """What one segment of a network needs.

    Attributes:
        weights: their bytes.
        load_ns: the longest that loading them takes.
        compute_ns: its budget where they are in memory, measured while others are loaded.
    """

    weights: int
    load_ns: int
    compute_ns: int


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A network of which only some segments are in memory at once.

    Attributes:
        segments: of the network, in order of execution.
        kept: indices of those whose weights stay from job to job; the others take turns in one
            place, as large as the largest of them.
    """

    segments: tuple[StreamedSegment, ...]
    kept: frozenset[int]

    @property
    def streamed(self) -> tuple[int, ...]:
        """Indices of the segments that are loaded in every job, in order."""
        return tuple(index for index in range(len(self.segments)) if index not in self.kept)

    @property
    def resident(self) -> int:
        """How many segments are in memory at once."""
        return len(self.kept) + bool(self.streamed)

    @property
    def weights(self) -> int:
        """Bytes that its weights take at any time."""
        place = max((self.segments[index].weights for index in self.streamed), default=0)
        return place + sum(self.segments[index].weights for index in self.kept)

    @property
    def budgets_ns(self) -> tuple[int, ...]:
        """Budget of each segment, the wait for its weights included."""
        return tuple(
            each.compute_ns + (0 if index in self.kept else each.load_ns)
            for index, each in enumerate(self.segments)
        )

    @property
    def total_ns(self) -> int:
        """Budget of a whole job."""
        return sum(self.budgets_ns)


def stream_plan(segments: Sequence[StreamedSegment], resident: int) -> StreamPlan:
    """Return the plan for so many segments in memory at once that costs the least time.

    Those stay whose loading takes longest.

    Args:
        segments: of the network, at least one.
        resident: at least 1, at most all.

    Raises:
        ValueError: it is out of range.
    """
    if not 1 <= resident <= len(segments):
        raise ValueError(f"{resident} of {len(segments)} segments in memory; expected at least 1")
    if resident == len(segments):
        return StreamPlan(tuple(segments), frozenset(range(resident)))
    slowest = sorted(
        range(len(segments)), key=lambda index: (-segments[index].load_ns, segments[index].weights)
    )
    return StreamPlan(tuple(segments), frozenset(slowest[: resident - 1]))


def most_resident(segments: Sequence[StreamedSegment], room_bytes: int) -> StreamPlan | None:
    """Return the plan with most segments in memory that so many bytes hold; ``None`` for none."""
    plans = (stream_plan(segments, count) for count in range(len(segments), 0, -1))
    return next((plan for plan in plans if plan.weights <= room_bytes), None)
