"""How much a counter has grown lately, the same for whoever asks, and however often."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

__all__ = ["WINDOW_NS", "Growth", "Window", "window_ns"]

WINDOW_NS = 5_000_000_000
_PERIODS = 10
_STEPS = 32  # a window is this share of itself too long at most


@dataclass(frozen=True, slots=True)
class Growth:
    """By how much a counter has grown, and within which time."""

    count: int
    within_ns: int

    @property
    def hz(self) -> float:
        """Growth a second."""
        return self.count * 1e9 / self.within_ns if self.within_ns else 0.0

    @property
    def share(self) -> float:
        """Growth a nanosecond, at most 1: the share of the time of which the counter is a sum."""
        return min(1.0, self.count / self.within_ns) if self.within_ns else 0.0


class Window:
    """The growth of one counter over a fixed time; safe to read from several threads.

    The counter is sampled when it is read, and not by each reader for itself: two that ask one
    right after the other get the same answer.

    Args:
        span_ns: how far back it looks; further where nobody asked for longer.
    """

    def __init__(self, span_ns: int = WINDOW_NS) -> None:
        """Know nothing yet."""
        self.span_ns = span_ns
        self._samples: deque[tuple[int, int]] = deque()
        self._lock = threading.Lock()

    def growth(self, now_ns: int, value: int) -> Growth:
        """Return the growth until now; none before a fifth of the window has passed.

        Args:
            now_ns: monotonic time.
            value: of the counter now. One that fell began anew.
        """
        with self._lock:
            samples = self._samples
            # Less than the last time is no new beginning: readers overtake each other, and what is
            # read of a running engine may lack the segment that ends at this moment.
            if samples and value < samples[0][1]:
                samples.clear()
            if not samples or now_ns - samples[-1][0] >= self.span_ns // _STEPS:
                samples.append((now_ns, value))
            while len(samples) > 1 and now_ns - samples[1][0] >= self.span_ns:
                samples.popleft()
            then_ns, before = samples[0]
        within_ns = now_ns - then_ns
        if within_ns < self.span_ns // 5:
            return Growth(0, 0)
        return Growth(value - before, within_ns)


def window_ns(period_ns: int) -> int:
    """Return the window in which the frames of a period can be counted."""
    return max(WINDOW_NS, _PERIODS * period_ns)
