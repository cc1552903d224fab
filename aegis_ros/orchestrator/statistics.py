"""Counts and response times of one task, in memory taken once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from aegis_ros.orchestrator.window import WINDOW_NS, Growth, Window
from aegis_ros.rationale import Decision, Reason, Rule
from aegis_ros.spec import TaskSpec
from aegis_ros.trace.balance import Balance

__all__ = ["Dropped", "TaskStatistics", "Unanswered", "slow_unpacking_ns"]

_KEPT = 512
_UNPACKING_SHARE = 2  # half of a period: what is left must do for the network, and for the next one


@dataclass(frozen=True, slots=True)
class Dropped:
    """Frames that gave no result by one rule, and the last reason."""

    reason: Reason
    frames: int


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Frames since the last result, or since the first frame where there was none.

    Attributes:
        frames: how many, without those that decimation leaves out.
        for_ns: since the first of them.
        dropped: those that have ended without a result, by their rules, the most first.
    """

    frames: int
    for_ns: int
    dropped: tuple[Dropped, ...] = ()


def slow_unpacking_ns(spec: TaskSpec) -> int:
    """Return how long decoding a frame may take before it counts as slow."""
    return spec.period_ns // _UNPACKING_SHARE


class TaskStatistics:
    """Figures since activation, and over the last results; may be called from any thread.

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
        self.undecoded = 0  # results that were published without what a decoder makes of them
        self.undecoded_reason: Reason | None = None  # the last one
        self.overruns = 0
        self.early_exits = 0
        self.exit_level = -1  # of the last job: 0 its end, 1 its early exit; -1 before the first
        self.quota_exceeded = 0  # decisions by which it met a limit of memory
        self.load_ns = 0  # how long loading its network took the last time
        self.invalid = 0  # points and numbers of frames that are none
        self.not_finite = 0  # results that hold numbers that are none
        self.truncated = 0  # results of which rows were left out
        self.slow_unpacking = 0  # frames whose decoding took too large a share of the period
        self.slow_unpacking_ns = 0  # how long the last of them took
        self.last_deadline_ns = 0
        self._window_ns = window_ns
        self._lock = threading.Lock()
        self._came = Window(window_ns)
        self._not_finite = Window(window_ns)
        self._undecoded = Window(window_ns)
        self._gave = Window(window_ns)
        self._slow_unpacking = Window(window_ns)
        self._recent: dict[Rule, tuple[Window, int, Reason]] = {}
        self._since: dict[Rule, tuple[int, Reason]] = {}  # dropped since the last result
        self._wanted_before = 0  # frames that were wanted up to the last result
        self._waiting_ns = 0  # when the first frame since then came, 0 for none yet
        self._times = np.zeros((3, _KEPT), np.int64)  # published, response, execution

    def receive(self, now_ns: int) -> None:
        """Count one frame, or whatever else wants a job of the task."""
        with self._lock:
            self.received += 1
            self.received_ns = now_ns
            self._waiting_ns = self._waiting_ns or now_ns

    def decimate(self) -> None:
        """Count a frame that is left out because only every n-th is taken."""
        with self._lock:
            self.decimated += 1

    def drop(self, reason: Reason, count: int = 1) -> None:
        """Count frames that give no result."""
        rule = reason.rule
        with self._lock:
            if reason.decision is Decision.LOST:
                self.lost += count
            else:
                self.skipped += count
            self._since[rule] = (self._since.get(rule, (0, reason))[0] + count, reason)
            if rule not in self._recent:
                window = Window(self._window_ns)
                window.growth(self.received_ns, 0)  # from here on
                self._recent[rule] = (window, 0, reason)
            window, total, _ = self._recent[rule]
            self._recent[rule] = (window, total + count, reason)

    def explain(self, reason: Reason) -> None:
        """Have a reason stand for what was dropped by its rule: it says more than the last one."""
        with self._lock:
            if reason.rule in self._since:
                self._since[reason.rule] = (self._since[reason.rule][0], reason)
            if reason.rule in self._recent:
                self._recent[reason.rule] = (*self._recent[reason.rule][:2], reason)

    def undecode(self, reason: Reason) -> None:
        """Count a result whose decoder failed."""
        with self._lock:
            self.undecoded += 1
            self.undecoded_reason = reason

    def count_not_finite(self) -> None:
        """Count a result that holds numbers that are none."""
        with self._lock:
            self.not_finite += 1

    def truncate(self) -> None:
        """Count a result of which rows were left out."""
        with self._lock:
            self.truncated += 1

    def unpacked_slowly(self, taken_ns: int) -> None:
        """Count a frame whose decoding took too large a share of the period."""
        with self._lock:
            self.slow_unpacking += 1
            self.slow_unpacking_ns = taken_ns

    def published(self, now_ns: int, response_ns: int, execution_ns: int, met: bool) -> None:
        """Count one result."""
        with self._lock:
            times = self._times
            times[:, self.completed % times.shape[1]] = now_ns, response_ns, execution_ns
            self.completed += 1
            self.missed += not met
            self._since.clear()
            self._wanted_before = self.received - self.decimated
            self._waiting_ns = 0

    def retire(self) -> None:
        """Let go of all but the counts: the task is gone, and only they are asked for."""
        with self._lock:
            self._times = np.zeros((3, 1), np.int64)
            self._since.clear()
            self._recent.clear()

    @property
    def balance(self) -> Balance:
        """What became of all frames."""
        with self._lock:
            return Balance(self.received, self.completed, self.decimated, self.skipped, self.lost)

    def unanswered(self, now_ns: int) -> Unanswered:
        """Return the frames since the last result."""
        with self._lock:
            frames = self.received - self.decimated - self._wanted_before
            since_ns = self._waiting_ns
            dropped = [Dropped(reason, count) for count, reason in self._since.values()]
        dropped.sort(key=lambda each: -each.frames)
        return Unanswered(max(0, frames), now_ns - since_ns if since_ns else 0, tuple(dropped))

    def came(self, now_ns: int) -> Growth:
        """Return how many frames were received lately."""
        return self._came.growth(now_ns, self.received)

    def undecoded_lately(self, now_ns: int) -> Growth:
        """Return how many results of late lack what their decoder makes of them."""
        return self._undecoded.growth(now_ns, self.undecoded)

    def not_finite_lately(self, now_ns: int) -> Growth:
        """Return how many results of late hold numbers that are none."""
        return self._not_finite.growth(now_ns, self.not_finite)

    def slow_unpacking_lately(self, now_ns: int) -> Growth:
        """Return how many frames of late took too large a share of the period to be decoded."""
        return self._slow_unpacking.growth(now_ns, self.slow_unpacking)

    def gave(self, now_ns: int) -> Growth:
        """Return how many results were published lately."""
        return self._gave.growth(now_ns, self.completed)

    def dropped(self, now_ns: int) -> tuple[Dropped, ...]:
        """Return how many frames gave no result lately, by rule, the most first."""
        with self._lock:
            recent = tuple(self._recent.values())
        found = [
            Dropped(reason, window.growth(now_ns, total).count) for window, total, reason in recent
        ]
        return tuple(sorted((each for each in found if each.frames), key=lambda each: -each.frames))

    def figures(self, now_ns: int) -> tuple[float, int, int, int, int, int, float]:
        """Return rate, response p50, p99, max, execution p50, max, and age of the last result.

        Hertz, nanoseconds and seconds; the age is negative before the first result.
        """
        times = self._times
        kept = times[:, : min(self.completed, times.shape[1])]
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
