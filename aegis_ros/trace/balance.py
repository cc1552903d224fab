"""What became of the frames that were received."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Balance"]


@dataclass(frozen=True, slots=True)
class Balance:
    """Frames, by what became of them.

    Attributes:
        received: frames; of several inputs sets, and those that found no partner; of a timer ticks.
        results: published.
        decimated: left out because only every n-th is taken.
        skipped, lost: gave no result for a reason that is on record.
    """

    received: int = 0
    results: int = 0
    decimated: int = 0
    skipped: int = 0
    lost: int = 0

    @property
    def in_flight(self) -> int:
        """Those whose end is yet to come."""
        return self.received - self.results - self.decimated - self.skipped - self.lost

    def __add__(self, other: Balance) -> Balance:
        """Return the balance of both."""
        return Balance(
            self.received + other.received,
            self.results + other.results,
            self.decimated + other.decimated,
            self.skipped + other.skipped,
            self.lost + other.lost,
        )

    @property
    def sentence(self) -> str:
        """The balance for people, without a full stop."""
        return (
            f"{self.received:,} frames received = {self.results:,} results + "
            f"{self.decimated:,} left out by decimation + {self.skipped:,} skipped + "
            f"{self.lost:,} lost + {self.in_flight:,} in flight"
        )
