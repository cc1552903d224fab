"""Holds a stream of arrivals to its declared period and jitter."""

from __future__ import annotations

__all__ = ["RateGate"]


class RateGate:
    """Generic cell rate algorithm: lets through exactly what (period, jitter) allows.

    A sequence passes whole if, and only if, there are arrivals at least one period apart such
    that every frame comes between its arrival and ``jitter`` later: the very assumption of the
    demand test with release jitter (ITU-T I.371; Spuri 1996).

    Args:
        period_ns: minimum inter-arrival time.
        jitter_ns: release jitter.
    """

    __slots__ = ("_earliest_ns", "_jitter_ns", "_next_ns", "_period_ns")

    def __init__(self, period_ns: int, jitter_ns: int) -> None:
        """Start open."""
        if period_ns <= 0 or jitter_ns < 0:
            raise ValueError(f"period {period_ns} ns must be > 0 and jitter {jitter_ns} ns >= 0")
        self._period_ns = period_ns
        self._jitter_ns = jitter_ns
        self._next_ns: int | None = None
        self._earliest_ns: int | None = None

    def accept(self, received_ns: int) -> bool:
        """Return whether a frame received now is within the contract; note it if so."""
        if self._next_ns is None or received_ns >= self._next_ns:
            self._next_ns = received_ns + self._period_ns
        elif received_ns >= self._next_ns - self._jitter_ns:
            self._next_ns += self._period_ns
        else:
            return False
        return True

    def settle(self, received_ns: int, ready_ns: int) -> int:
        """Return the nominal arrival of an accepted frame that is ready for its job now.

        Frames are accepted as they come, before the work of making them ready is spent on them;
        jitter lasts until they are ready, and others may be accepted meanwhile. Of a stream that
        keeps its contract, arrivals are never later than the true ones, at most one jitter before
        ``ready_ns``, and at least one period apart. Of any other, an arrival is never later than
        the frame came, so that a frame that was held up long does not put off the deadlines of
        those after it.
        """
        arrival = ready_ns - self._jitter_ns
        if self._earliest_ns is not None:
            arrival = max(arrival, self._earliest_ns)
        arrival = min(arrival, received_ns)
        self._earliest_ns = arrival + self._period_ns
        return arrival
