"""What frames that came too early have in common, and the contract that would take them all."""

from __future__ import annotations

import threading

from aegis_ros.rationale.changes import Change, JitterLonger, PeriodShorter
from aegis_ros.rationale.frames import FrameTooEarly
from aegis_ros.rationale.wording import counterfactual
from aegis_ros.spec import TaskSpec

__all__ = ["EarlyFrames"]

_EVERY_NS = 60_000_000_000
_LEAST_FRAMES = 10  # fewer say little of a source
_MS_NS = 1_000_000
_TENTH_MS_NS = 100_000


class EarlyFrames:
    """Sums up the early frames of one task: reported at once, then once a minute.

    Beside the task's gate it keeps one that lets everything through: how far that is ahead of a
    frame is the jitter with which the frame would have been in time.

    Args:
        spec: the task.
    """

    def __init__(self, spec: TaskSpec) -> None:
        """Know no frame."""
        self._spec = spec
        self._lock = threading.Lock()
        self._reported_ns: int | None = None
        self._frames = 0  # since `_first_ns`, the first one not counted
        self._early = 0
        self._first_ns = self._last_ns = 0
        self._due_ns = 0  # when the next frame would be due, were jitter unlimited
        self._least_gap_ns = 0
        self._jitter_ns = 0

    def note(self, received_ns: int, *, early: bool) -> None:
        """Note a frame, and whether it came too early."""
        period_ns = self._spec.period_ns
        with self._lock:
            self._early += early
            if not self._last_ns:
                self._first_ns = self._due_ns = received_ns
            else:
                gap_ns = received_ns - self._last_ns
                self._frames += 1
                self._least_gap_ns = min(self._least_gap_ns, gap_ns) if self._frames > 1 else gap_ns
            self._jitter_ns = max(self._jitter_ns, self._due_ns - received_ns)
            self._due_ns = max(self._due_ns, received_ns) + period_ns
            self._last_ns = received_ns

    def due(self, now_ns: int) -> bool:
        """Return whether there is something to report, and time for it."""
        waited = self._reported_ns is None or now_ns - self._reported_ns >= _EVERY_NS
        return self._early > 0 and waited

    def take(self, now_ns: int, job: int, topic: str) -> tuple[FrameTooEarly, int] | None:
        """Return what there is to report with its count, and begin anew; ``None`` for nothing.

        Args:
            now_ns: monotonic time.
            job: number of the task's next job.
            topic: where its frames come from.
        """
        with self._lock:
            if not self._early:
                return None
            early, self._early = self._early, 0
            reason = self._reason(job, topic, early)
            self._reported_ns = now_ns
            self._frames, self._jitter_ns = 0, 0
            self._first_ns = self._last_ns
            self._due_ns = self._last_ns + self._spec.period_ns
            return reason, early

    def _reason(self, job: int, topic: str, early: int) -> FrameTooEarly:
        spec = self._spec
        within_ns = self._last_ns - self._first_ns
        return FrameTooEarly(
            spec.name,
            job,
            topic,
            spec.period_ns,
            spec.release_jitter_ns,
            early,
            within_ns,
            self._least_gap_ns,
            within_ns // self._frames if self._frames else 0,
            tuple(counterfactual(each) for each in self._changes(within_ns)),
        )

    def _changes(self, within_ns: int) -> list[Change]:
        """Return what would have let every frame through, where that is worth declaring.

        Jitter is what frames of the declared rate need. Where more come than that, no jitter is
        enough for long, and a shorter period fits, unless they come in bunches.
        """
        spec = self._spec
        if self._frames < _LEAST_FRAMES:
            return []
        if self._frames * spec.period_ns - within_ns >= spec.period_ns:
            period_ns = self._least_gap_ns // _TENTH_MS_NS * _TENTH_MS_NS
            even = 0 < within_ns < 2 * period_ns * self._frames
            return [PeriodShorter(spec.name, period_ns, spec.period_ns)] if even else []
        tolerance_ns = spec.release_jitter_ns - spec.jitter_ns
        jitter_ns = _up(self._jitter_ns - tolerance_ns, _MS_NS)
        allowed_ns = spec.deadline_ns - spec.output.publish_ns - tolerance_ns
        if spec.jitter_ns < jitter_ns < allowed_ns:
            return [JitterLonger(spec.name, jitter_ns, spec.jitter_ns)]
        return []


def _up(value_ns: int, step_ns: int) -> int:
    return -(-value_ns // step_ns) * step_ns
