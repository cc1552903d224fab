"""Holds a stream of arrivals to its declared period and jitter."""

from __future__ import annotations

__all__ = ["RateGate"]


class RateGate:
    """Generic cell rate algorithm: lets through exactly what (period, jitter) allows.

    A sequence passes whole if, and only if, there are arrivals at least one period apart such
    that every frame is ready between its arrival and ``jitter`` later: the very assumption of the
    demand test with release jitter (ITU-T I.371; Spuri 1996).

    Args:
        period_ns: minimum inter-arrival time.
        jitter_ns: release jitter.
    """

    __slots__ = ("_jitter_ns", "_next_ns", "_period_ns")

    def __init__(self, period_ns: int, jitter_ns: int) -> None:
        """Start open."""
        if period_ns <= 0 or jitter_ns < 0:
            raise ValueError(f"period {period_ns} ns must be > 0 and jitter {jitter_ns} ns >= 0")
        self._period_ns = period_ns
        self._jitter_ns = jitter_ns
        self._next_ns: int | None = None

    def accept(self, received_ns: int) -> bool:
        """Return whether a frame received now is within the contract; note it if so."""
        if self._next_ns is None or received_ns >= self._next_ns:
            self._next_ns = received_ns + self._period_ns
            return True
        if received_ns >= self._next_ns - self._jitter_ns:
            self._next_ns += self._period_ns
            return True
        return False

    def settle(self, ready_ns: int) -> None:
        """Note when the frame last accepted was ready for its job: jitter lasts until then.

        Frames are accepted as they come, before the work of making them ready is spent on them.
        """
        if self._next_ns is not None:
            self._next_ns = max(self._next_ns, ready_ns + self._period_ns)

    @property
    def arrival_ns(self) -> int:
        """Nominal arrival of the frame last accepted: the earliest that is consistent.

        Never later than the true arrival of a stream that keeps its contract, at most one jitter
        before the frame was ready, and at least one period after the one before.
        """
        if self._next_ns is None:
            return 0
        return self._next_ns - self._period_ns - self._jitter_ns
