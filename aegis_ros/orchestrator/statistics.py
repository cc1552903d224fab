"""Counts and response times of one task, in memory taken once."""

from __future__ import annotations

import numpy as np

from aegis_ros.orchestrator.window import WINDOW_NS, Growth, Window

__all__ = ["TaskStatistics"]

_KEPT = 512


class TaskStatistics:
    """Figures since activation, and over the last results.

    Counters are written by one thread each (intake: received, decimated, invalid; results: the
    others) and read by any; a reader may see a figure that is one job old.

    Args:
        window_ns: over which rates are taken.
    """

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        """Begin at zero."""
        self.received = 0
        self.received_ns = 0  # when the last one came
        self.decimated = 0  # frames left out because only every n-th is taken
        self.completed = 0
        self.missed = 0
        self.skipped = 0
        self.lost = 0
        self.overruns = 0
        self.early_exits = 0
        self.invalid = 0  # points and numbers of frames that are none
        self.not_finite = 0  # results that hold numbers that are none
        self.last_deadline_ns = 0
        self._window_ns = window_ns
        self._came = Window(window_ns)
        self._not_finite = Window(window_ns)
        self._times = np.zeros((3, _KEPT), np.int64)  # published, response, execution

    def published(self, now_ns: int, response_ns: int, execution_ns: int, met: bool) -> None:
        """Count one result."""
        column = self.completed % _KEPT
        self._times[:, column] = now_ns, response_ns, execution_ns
        self.completed += 1
        self.missed += not met

    def receive(self, now_ns: int) -> None:
        """Count one frame, or whatever else wants a job of the task."""
        self.received += 1
        self.received_ns = now_ns

    def came(self, now_ns: int) -> Growth:
        """Return how many frames were received lately."""
        return self._came.growth(now_ns, self.received)

    def not_finite_lately(self, now_ns: int) -> Growth:
        """Return how many results of late hold numbers that are none."""
        return self._not_finite.growth(now_ns, self.not_finite)

    def figures(self, now_ns: int) -> tuple[float, int, int, int, int, int, float]:
        """Return rate, response p50, p99, max, execution p50, max, and age of the last result.

        Hertz, nanoseconds and seconds; the age is negative before the first result.
        """
        kept = self._times[:, : min(self.completed, _KEPT)]
        if kept.shape[1] == 0:
            return 0.0, 0, 0, 0, 0, 0, -1.0
        published, response, execution = kept
        recent = published[published > now_ns - self._window_ns]
        rate = 0.0
        if recent.size > 1:
            span = int(recent.max() - recent.min())
            rate = (recent.size - 1) * 1e9 / span if span else 0.0
        p50, p99 = np.percentile(response, [50, 99])
        return (
            rate,
            int(p50),
            int(p99),
            int(response.max()),
            int(np.percentile(execution, 50)),
            int(execution.max()),
            (now_ns - int(published.max())) / 1e9,
        )
