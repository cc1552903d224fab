"""What the stamps of frames say of their age, and whether they can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from aegis_ros.orchestrator.rationales import RationaleLog
from aegis_ros.orchestrator.types import StampVerdict, TopicStamps
from aegis_ros.planning.streams import Stream
from aegis_ros.rationale.frames import (
    StampsAgree,
    StampsAhead,
    StampsBehind,
    StampsOffClock,
    StampsWentBack,
)
from aegis_ros.spec import TaskSpec

__all__ = ["FrameTimes", "StampWatch", "judge_stamps"]

_BACKWARDS_NS = 1_000_000_000
_TRUSTED_NS = 10_000_000_000
_WINDOW_NS = 5_000_000_000
_LEAST_FRAMES = 5  # one or two that were held up say nothing of a clock


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When a frame was stamped, came, and was ready; nanoseconds.

    Attributes:
        stamp_ns: its stamp on the node's clock, 0 for none; only watched, no deadline rests on it.
        received_ns: when its message came (monotonic).
        ready_ns: when it was in its slot (monotonic).
        wall_ns: what the wall clock showed at ``ready_ns``.
        clock_ns: what the node's clock showed then; -1 for the wall clock, 0 for nothing yet: the
            clock of a simulation that has not begun.
        step_ns: by how much that clock moves at once: a stamp so far ahead of it is from now.
        believed: whether the clock of the sender is, as far as it is known.
    """

    stamp_ns: int
    received_ns: int
    ready_ns: int
    wall_ns: int
    clock_ns: int = -1
    step_ns: int = 0
    believed: bool = True

    @property
    def age_ns(self) -> int:
        """How old the frame was by its stamp when its message came; negative: from the future."""
        return self._received_on_clock_ns - self.stamp_ns

    @property
    def comparable(self) -> bool:
        """Whether there are a stamp and a clock to hold it against."""
        return self.stamp_ns != 0 and self.clock_ns != 0

    @property
    def trusted(self) -> bool:
        """Whether the response is measured from the stamp; else, it is from the reception.

        No stamp is from the future, and none is more than 10 s old.
        """
        return (
            self.comparable
            and self.believed
            and self.stamp_ns > 0
            and -self.step_ns <= self.age_ns < _TRUSTED_NS
        )

    @property
    def wall_offset_ns(self) -> int:
        """Wall clock less monotonic clock."""
        return self.wall_ns - self.ready_ns

    @property
    def stamped_ns(self) -> int:
        """The stamp on the monotonic clock, 0 for one that is not trusted."""
        return max(1, self.received_ns - max(0, self.age_ns)) if self.trusted else 0

    @property
    def taken_ns(self) -> int:
        """When the frame was taken, on the node's clock; its reception where it has no stamp."""
        return self.stamp_ns or self._received_on_clock_ns

    @property
    def _received_on_clock_ns(self) -> int:
        clock_ns = self.wall_ns if self.clock_ns < 0 else self.clock_ns
        return clock_ns - (self.ready_ns - self.received_ns)

    def later(self, ready_ns: int) -> FrameTimes:
        """Return the times of what was made of the frame and is ready at another moment."""
        passed_ns = ready_ns - self.ready_ns
        return replace(
            self,
            ready_ns=ready_ns,
            wall_ns=self.wall_ns + passed_ns,
            clock_ns=self.clock_ns + passed_ns if self.clock_ns > 0 else self.clock_ns,
        )


def judge_stamps(least_age_ns: int, frames: int, step_ns: int, deadline_ns: int) -> StampVerdict:
    """Return what the stamps of a topic are like.

    A message takes time, so that the least age is transport at least: below 0, the sender's clock
    is ahead, by no less than that.

    Args:
        least_age_ns: of the frames that came lately, at their reception.
        frames: how many.
        step_ns: by how much the node's clock moves at once.
        deadline_ns: of the task: where every frame is older, no result can be in time.
    """
    if least_age_ns < -step_ns:
        return StampVerdict.AHEAD
    if least_age_ns >= _TRUSTED_NS:
        return StampVerdict.OFF
    if least_age_ns >= deadline_ns and frames >= _LEAST_FRAMES:
        return StampVerdict.BEHIND
    return StampVerdict.AGREE


class _Source:
    """The least age of the frames of one topic within the last seconds."""

    __slots__ = ("_before", "_least", "_since_ns", "_step_ns", "frames", "last_stamp_ns")

    def __init__(self, times: FrameTimes) -> None:
        self.last_stamp_ns = times.stamp_ns
        self._since_ns = times.received_ns
        self._least = self._before = times.age_ns
        self._step_ns = 0
        self.frames = 0

    def note(self, times: FrameTimes) -> None:
        if times.received_ns - self._since_ns >= _WINDOW_NS:
            self._before, self._least = self._least, times.age_ns
            self._since_ns = times.received_ns
        self._least = min(self._least, times.age_ns)
        self._step_ns = times.step_ns
        self.frames += 1

    @property
    def least_age_ns(self) -> int:
        return min(self._before, self._least)

    @property
    def ahead(self) -> bool:
        return self.least_age_ns < -self._step_ns


class StampWatch:
    """Holds the stamps of each topic against the node's clock.

    The intake notes what comes under its lock; any thread may read, or have it forget.

    Args:
        log: where it is reported what they are like, once for each change.
    """

    def __init__(self, log: RationaleLog) -> None:
        """Know no topic."""
        self._log = log
        self._sources: dict[str, _Source] = {}
        self._verdicts: dict[tuple[str, str], StampVerdict] = {}

    def keep(self, keys: Iterable[str]) -> None:
        """Forget all streams but these."""
        kept = frozenset(keys)
        for key in tuple(self._sources):
            if key not in kept:
                self._sources.pop(key, None)
        for each in tuple(self._verdicts):
            if each[0] not in kept:
                self._verdicts.pop(each, None)

    def believed(self, key: str) -> bool:
        """Return whether no stamp of a stream has been from the future lately."""
        source = self._sources.get(key)
        return source is None or not source.ahead

    def of(self, stream: Stream, task: str) -> TopicStamps | None:
        """Return what the stamps of a stream are like for a task; ``None`` where none was seen."""
        source, verdict = self._sources.get(stream.key), self._verdicts.get((stream.key, task))
        if source is None or verdict is None:
            return None
        return TopicStamps(stream.topic, verdict, source.least_age_ns)

    def note(self, stream: Stream, tasks: Iterable[TaskSpec], times: FrameTimes) -> None:
        """Note the stamp of one frame that these tasks read."""
        if not times.comparable:
            return
        source = self._sources.get(stream.key)
        back_ns = 0 if source is None else source.last_stamp_ns - times.stamp_ns
        if source is None or back_ns > _BACKWARDS_NS:
            source = self._sources[stream.key] = _Source(times)
        source.last_stamp_ns = times.stamp_ns
        source.note(times)
        for spec in tasks:
            if back_ns > _BACKWARDS_NS:
                self._log.report_often(StampsWentBack(spec.name, stream.topic, back_ns))
            verdict = judge_stamps(
                source.least_age_ns, source.frames, times.step_ns, spec.deadline_ns
            )
            before = self._verdicts.get((stream.key, spec.name), StampVerdict.AGREE)
            self._verdicts[stream.key, spec.name] = verdict
            if verdict is not before:
                self._report(spec, stream.topic, verdict, source.least_age_ns)

    def _report(self, spec: TaskSpec, topic: str, verdict: StampVerdict, age_ns: int) -> None:
        match verdict:
            case StampVerdict.AHEAD:
                self._log.report_often(StampsAhead(spec.name, topic, -age_ns))
            case StampVerdict.BEHIND:
                self._log.report_often(StampsBehind(spec.name, topic, age_ns, spec.deadline_ns))
            case StampVerdict.OFF:
                self._log.report_often(StampsOffClock(spec.name, topic, -age_ns))
            case StampVerdict.AGREE:
                self._log.report_often(StampsAgree(spec.name, topic))
