"""Takes the latency of a job apart: every nanosecond of it has one owner."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from aegis_ros.trace.history import NO_TASK, Trace, TracedJob, TracedSegment

__all__ = ["WAITING", "Part", "PartKind", "Span", "Split", "split"]


class PartKind(StrEnum):
    """What a part of a latency was spent on."""

    TRANSPORT = "transport"
    INTAKE = "intake"
    BLOCKING = "blocking"
    INTERFERENCE = "interference"
    BACKLOG = "backlog"
    IDLE = "idle"
    HANDOVER = "hand-over"
    EXECUTION = "execution"
    OVERRUN = "overrun"
    OUTPUT = "output"
    HELD = "held"
    PUBLISH = "publish"


WAITING = (PartKind.BLOCKING, PartKind.INTERFERENCE, PartKind.BACKLOG, PartKind.IDLE)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a job's life.

    ``blocking`` is waiting for a segment of a less urgent job, ``interference`` for one of a more
    urgent job, ``backlog`` for an earlier job of the same task, ``idle`` with nobody on the lane.
    ``hand-over`` is the way from the scheduler to the device and back. ``held`` is a result that
    was ready and kept for its constant latency.

    Attributes:
        kind: what it was spent on.
        begin_ns, end_ns: monotonic nanoseconds.
        by: the segment waited for.
        over: whether that segment was beyond its budget by then.
    """

    kind: PartKind
    begin_ns: int
    end_ns: int
    by: TracedSegment | None = None
    over: bool = False

    @property
    def length_ns(self) -> int:
        """How long it is."""
        return self.end_ns - self.begin_ns


@dataclass(frozen=True, slots=True)
class Part:
    """All stretches of one kind, spent on one job.

    Attributes:
        kind: what was spent on it.
        length_ns: how much.
        by: task and number of the job waited for; ``None`` where it was nobody's.
        segments: indices of its segments that were waited for.
        over_ns: how much of it lay beyond that job's budget.
    """

    kind: PartKind
    length_ns: int
    by: tuple[int, int] | None = None
    segments: tuple[int, ...] = ()
    over_ns: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A latency in its parts; the spans follow each other without a gap from beginning to end.

    Attributes:
        job: whose.
        spans: in order, none of them empty.
    """

    job: TracedJob
    spans: tuple[Span, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The spans added up, in the order in which each kind and job first appears."""
        found: dict[tuple[PartKind, tuple[int, int] | None], list[Span]] = {}
        for span in self.spans:
            by = (span.by.task, span.by.seq) if span.by is not None else None
            found.setdefault((span.kind, by), []).append(span)
        return tuple(
            Part(
                kind,
                sum(span.length_ns for span in spans),
                by,
                tuple(sorted({span.by.segment for span in spans if span.by is not None})),
                sum(span.length_ns for span in spans if span.over),
            )
            for (kind, by), spans in found.items()
        )

    def total_ns(self, *kinds: PartKind) -> int:
        """Return how much was spent on the given kinds; on all without any."""
        return sum(span.length_ns for span in self.spans if not kinds or span.kind in kinds)


def split(trace: Trace, job: TracedJob) -> Split:
    """Take a job's latency apart; the parts add up to it exactly."""
    builder = _Spans(job.begin_ns, job.end_ns)
    builder.to(job.received_ns, PartKind.TRANSPORT)
    builder.to(job.released_ns, PartKind.INTAKE)
    for run in job.segments:
        _wait(builder, trace, job, run.begin_ns)
        builder.to(run.began_ns, PartKind.HANDOVER)
        builder.to(run.ended_ns - run.over_ns, PartKind.EXECUTION)
        builder.to(run.ended_ns, PartKind.OVERRUN)
        builder.to(run.end_ns, PartKind.HANDOVER)
    if job.finished_ns:
        builder.to(job.finished_ns, PartKind.OUTPUT)
        builder.to(job.handed_ns, PartKind.OUTPUT)
        builder.to(job.decoded_ns, PartKind.OUTPUT)
        builder.to(job.due_ns, PartKind.HELD)
        builder.to(job.end_ns, PartKind.PUBLISH)
    else:
        _wait(builder, trace, job, job.end_ns)
    return Split(job, tuple(builder.spans))


class _Spans:
    """Adds spans from a moving point on; what lies before it or after the end is cut off."""

    def __init__(self, begin_ns: int, end_ns: int) -> None:
        self.at_ns = begin_ns
        self._end_ns = end_ns
        self.spans: list[Span] = []

    def to(
        self, until_ns: int, kind: PartKind, by: TracedSegment | None = None, over: bool = False
    ) -> None:
        """Add one span up to ``until_ns``."""
        until = min(until_ns, self._end_ns)
        if until > self.at_ns:
            self.spans.append(Span(kind, self.at_ns, until, by, over))
            self.at_ns = until


def _wait(builder: _Spans, trace: Trace, job: TracedJob, until_ns: int) -> None:
    """Add what happened on the job's lane while it waited."""
    for run in trace.holders(job.lane, builder.at_ns, until_ns):
        if (run.task, run.seq) == (job.task, job.seq):
            continue
        builder.to(min(run.begin_ns, until_ns), PartKind.IDLE)
        kind = _kind(job, run)
        if run.over_ns:
            builder.to(min(run.ended_ns - run.over_ns, until_ns), kind, run)
            builder.to(min(run.ended_ns, until_ns), kind, run, over=True)
        builder.to(min(run.end_ns, until_ns), kind, run)
    builder.to(until_ns, PartKind.IDLE)


def _kind(job: TracedJob, run: TracedSegment) -> PartKind:
    if run.task == job.task:
        return PartKind.BACKLOG
    if run.task == NO_TASK or run.rank > job.rank:
        return PartKind.BLOCKING
    return PartKind.INTERFERENCE
