"""A task as the schedulability tests see it."""

from __future__ import annotations

from dataclasses import dataclass

from aegis_ros.spec import Criticality

__all__ = ["AnalysisTask"]

_MAX_NS = 10**16  # 115 days: sums over a testing set stay inside 64 bits


@dataclass(frozen=True, slots=True)
class AnalysisTask:
    """Budget and timing contract of one sporadic task; integer nanoseconds.

    Attributes:
        name: for sentences.
        segments_ns: WCET budget of each segment, at least one, each > 0.
        period_ns: minimum inter-arrival time, > 0.
        deadline_ns: relative deadline from arrival, > jitter.
        jitter_ns: release jitter (arrival to ready), >= 0.
        criticality: what is shed first.
        lane: lane it must run on; empty for any.
    """

    name: str
    segments_ns: tuple[int, ...]
    period_ns: int
    deadline_ns: int
    jitter_ns: int = 0
    criticality: Criticality = Criticality.HIGH
    lane: str = ""

    def __post_init__(self) -> None:
        """Refuse what the tests cannot decide.

        Raises:
            ValueError: names the field and the value.
        """
        if not self.segments_ns or any(not 0 < part <= _MAX_NS for part in self.segments_ns):
            raise ValueError(f"{self.name}: segments_ns {self.segments_ns} must all be > 0")
        if not 0 < self.period_ns <= _MAX_NS:
            raise ValueError(f"{self.name}: period_ns {self.period_ns} must be > 0")
        if not 0 <= self.jitter_ns < self.deadline_ns <= _MAX_NS:
            raise ValueError(
                f"{self.name}: jitter_ns {self.jitter_ns} must be >= 0 and below deadline_ns "
                f"{self.deadline_ns}"
            )

    def wcet_ns(self, switch_ns: int = 0) -> int:
        """Return the budget of the whole network with one switch a segment."""
        return sum(self.segments_ns) + switch_ns * len(self.segments_ns)

    def longest_ns(self, switch_ns: int = 0) -> int:
        """Return the longest segment with its switch: how long this task can block others."""
        return max(self.segments_ns) + switch_ns

    @property
    def density(self) -> float:
        """Budget over the shorter of period and deadline."""
        return sum(self.segments_ns) / min(self.period_ns, self.deadline_ns)
