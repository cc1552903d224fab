"""Names the causes of a job's latency, the largest first.

A part of a latency is a cause as far as it exceeds what was expected. Where a contract
says what that is, the rest is a breach: time beyond a budget, frames later than the declared
jitter or sooner than the declared period, results that take longer to publish than declared.
Elsewhere it is what the other jobs of the task usually spend on it (the median).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from statistics import median

from aegis_ros.trace.explain import PartKind, Span, Split, split
from aegis_ros.trace.history import Ending, Trace, TracedJob

__all__ = ["Cause", "CauseKind", "Causes"]

_MOST_COMPARED = 200
_LEAST_COMPARED = 4
_LEAST_SHARE = 0.01


class CauseKind(StrEnum):
    """What made a job slow."""

    OWN_OVERRUN = "own overrun"
    OTHERS_OVERRUN = "overrun of another task"
    LATE_FRAME = "late frame"
    SLOW_INTAKE = "slow intake"
    BURST = "burst"
    BLOCKING = "blocking"
    INTERFERENCE = "interference"
    BACKLOG = "backlog"
    IDLE = "idle lane"
    HANDOVER = "hand-over"
    EXECUTION = "execution"
    OUTPUT = "slow output"
    PUBLISH = "slow publisher"


@dataclass(frozen=True, slots=True)
class Cause:
    """One cause.

    Attributes:
        kind: what it is.
        task: number of the task that did it; -1 where none did.
        jobs: numbers of its jobs.
        length_ns: how much time of the job it took.
        excess_ns: how much of it exceeds what was expected.
        breach: whether a contract was broken by it.
        enough: whether the job would have met its deadline without the excess.
        sentence: for people.
    """

    kind: CauseKind
    task: int
    jobs: tuple[int, ...]
    length_ns: int
    excess_ns: int
    breach: bool
    enough: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class _Group:
    kind: CauseKind
    task: int
    spans: tuple[Span, ...]

    @property
    def length_ns(self) -> int:
        return sum(span.length_ns for span in self.spans)

    @property
    def jobs(self) -> tuple[int, ...]:
        return tuple(sorted({span.by.seq for span in self.spans if span.by is not None}))


class Causes:
    """Finds causes in one trace; what is usual is worked out once for each task.

    Args:
        trace: the run.
    """

    def __init__(self, trace: Trace) -> None:
        """Work out nothing yet."""
        self._trace = trace
        self._usual: dict[int, dict[tuple[CauseKind, int], float]] = {}
        self._early: dict[int, frozenset[int]] = {}

    def of(self, job: TracedJob) -> tuple[Cause, ...]:
        """Return the causes of a job's latency, the largest first.

        A breach of contract without which a late job would have met its deadline comes before all
        others. Causes with an excess below 1 % of the latency are left out.
        """
        late = job.late_ns
        found = []
        for group in self._groups(split(self._trace, job)):
            excess, breach, sentence = self._judge(job, group)
            enough = 0 < late <= excess
            if excess <= 0 or (not enough and excess < _LEAST_SHARE * job.latency_ns):
                continue
            found.append(
                Cause(
                    group.kind,
                    group.task,
                    group.jobs,
                    group.length_ns,
                    excess,
                    breach,
                    enough,
                    sentence,
                )
            )
        # The worst of what broke a contract, if that alone explains it; else simply the worst.
        found.sort(key=lambda cause: (not (cause.breach and cause.enough), -cause.excess_ns))
        return tuple(found)

    def _groups(self, parts: Split) -> tuple[_Group, ...]:
        sorted_spans: dict[tuple[CauseKind, int], list[Span]] = {}
        for span in parts.spans:
            if span.kind is PartKind.HELD:  # as declared: that is nobody's fault
                continue
            task = span.by.task if span.by is not None else -1
            kind = self._cause_kind(span)
            sorted_spans.setdefault((kind, task), []).append(span)
        return tuple(
            _Group(kind, task, tuple(spans)) for (kind, task), spans in sorted_spans.items()
        )

    def _cause_kind(self, span: Span) -> CauseKind:
        by = span.by
        if by is None:
            return _KINDS[span.kind]
        if span.over:
            return CauseKind.OTHERS_OVERRUN
        if span.kind is not PartKind.BLOCKING and by.seq in self._early_jobs(by.task):
            return CauseKind.BURST
        return _KINDS[span.kind]

    def _early_jobs(self, task: int) -> frozenset[int]:
        """Return the jobs that came sooner after the one before than the contract allows."""
        if task not in self._early:
            contract = self._trace.tasks.get(task)
            early = set()
            if contract is not None and contract.period_ns:
                jobs = self._trace.by_task.get(task, ())
                least = contract.period_ns - contract.jitter_ns
                for before, job in pairwise(jobs):
                    if (
                        job.arrival_ns - before.arrival_ns < contract.period_ns
                        or job.released_ns - before.released_ns < least
                    ):
                        early.add(job.seq)
            self._early[task] = frozenset(early)
        return self._early[task]

    def _usually(self, job: TracedJob, kind: CauseKind, task: int) -> int:
        """Return what the other jobs of the task spend on it; 0 while too few are known."""
        usual = self._usual.get(job.task)
        if usual is None:
            ended = [
                other
                for other in self._trace.by_task.get(job.task, ())
                if other.ending is Ending.FINISHED
            ]
            step = max(1, len(ended) // _MOST_COMPARED)
            compared = ended[::step]
            lengths: dict[tuple[CauseKind, int], list[int]] = {}
            for other in compared:
                for group in self._groups(split(self._trace, other)):
                    lengths.setdefault((group.kind, group.task), []).append(group.length_ns)
            usual = {}
            if len(compared) >= _LEAST_COMPARED:
                for key, values in lengths.items():
                    usual[key] = median(values + [0] * (len(compared) - len(values)))
            self._usual[job.task] = usual
        return int(usual.get((kind, task), 0))

    def _judge(self, job: TracedJob, group: _Group) -> tuple[int, bool, str]:
        """Return excess, whether a contract was broken, and a sentence."""
        kind = group.kind
        if kind in _BREACHES:
            allowed, contract = _BREACHES[kind](self._trace, job)
            if contract:
                excess = group.length_ns - allowed
                return excess, True, self._sentence(group, contract)
        usual = self._usually(job, kind, group.task)
        excess = group.length_ns - usual
        text = f"usually {_ms(usual)}" if usual else ""
        return excess, False, self._sentence(group, text)

    def _sentence(self, group: _Group, compared: str) -> str:
        trace, length = self._trace, _ms(group.length_ns)
        name = trace.task_name(group.task) if group.task >= 0 else ""
        jobs = _jobs(trace, group)
        text = {
            CauseKind.OWN_OVERRUN: f"it ran {length} beyond its budget",
            CauseKind.OTHERS_OVERRUN: f"{jobs} ran {length} beyond the budget of {name} "
            "while it waited",
            CauseKind.LATE_FRAME: f"its frame took {length} to arrive",
            CauseKind.SLOW_INTAKE: f"its frame took {length} from reception to release",
            CauseKind.BURST: f"{jobs} arrived sooner than the contract of {name} allows and took "
            f"{length}",
            CauseKind.BLOCKING: f"{jobs}, less urgent but already running, blocked it for {length}",
            CauseKind.INTERFERENCE: f"{jobs}, more urgent, ran for {length} while it waited",
            CauseKind.BACKLOG: f"{jobs}, before it in the same task, ran for {length} "
            "while it waited",
            CauseKind.IDLE: f"its lane was idle for {length} while it waited (the policy held it "
            "back, or the engine was late)",
            CauseKind.HANDOVER: f"starting its segments and noticing their ends took {length}",
            CauseKind.EXECUTION: f"its own execution took {length}, within its budget",
            CauseKind.OUTPUT: f"handing its outputs over and decoding them took {length}",
            CauseKind.PUBLISH: f"publishing its result took {length}",
        }[group.kind]
        return f"{text} ({compared})" if compared else text


def _late_frame(trace: Trace, job: TracedJob) -> tuple[int, str]:
    task = trace.tasks.get(job.task)
    if task is None or not task.period_ns:
        return 0, ""
    return task.jitter_ns, f"declared jitter {_ms(task.jitter_ns)}"


def _intake(trace: Trace, job: TracedJob) -> tuple[int, str]:
    task = trace.tasks.get(job.task)
    if task is None or not task.period_ns:
        return 0, ""
    # Jitter lasts until the release; the way here has used some of it.
    left = max(0, task.jitter_ns - max(0, job.received_ns - job.begin_ns))
    return left, f"{_ms(left)} of the declared jitter were left"


def _publishing(trace: Trace, job: TracedJob) -> tuple[int, str]:
    task = trace.tasks.get(job.task)
    if task is None or not task.publish_ns:
        return 0, ""
    return task.publish_ns, f"declared {_ms(task.publish_ns)}"


def _budget(trace: Trace, job: TracedJob) -> tuple[int, str]:
    task = trace.tasks.get(job.task)
    if task is None or not task.segments_ns:
        return 0, "its contract allows none"
    return 0, f"budget {_ms(task.work_ns)}"


def _nothing(trace: Trace, job: TracedJob) -> tuple[int, str]:
    return 0, "a breach of its contract"


_BREACHES: dict[CauseKind, Callable[[Trace, TracedJob], tuple[int, str]]] = {
    CauseKind.OWN_OVERRUN: _budget,
    CauseKind.OTHERS_OVERRUN: _nothing,
    CauseKind.LATE_FRAME: _late_frame,
    CauseKind.SLOW_INTAKE: _intake,
    CauseKind.BURST: _nothing,
    CauseKind.OUTPUT: _publishing,
    CauseKind.PUBLISH: _publishing,
}
_KINDS = {
    PartKind.TRANSPORT: CauseKind.LATE_FRAME,
    PartKind.INTAKE: CauseKind.SLOW_INTAKE,
    PartKind.BLOCKING: CauseKind.BLOCKING,
    PartKind.INTERFERENCE: CauseKind.INTERFERENCE,
    PartKind.BACKLOG: CauseKind.BACKLOG,
    PartKind.IDLE: CauseKind.IDLE,
    PartKind.HANDOVER: CauseKind.HANDOVER,
    PartKind.EXECUTION: CauseKind.EXECUTION,
    PartKind.OVERRUN: CauseKind.OWN_OVERRUN,
    PartKind.OUTPUT: CauseKind.OUTPUT,
    PartKind.PUBLISH: CauseKind.PUBLISH,
}


def _jobs(trace: Trace, group: _Group) -> str:
    if len(group.jobs) > 3:
        return f"{len(group.jobs)} jobs of {trace.task_name(group.task)}"
    return " and ".join(trace.job_name(group.task, seq) for seq in group.jobs)


def _ms(value_ns: float) -> str:
    return f"{value_ns / 1e6:.3g} ms" if abs(value_ns) < 1e9 else f"{value_ns / 1e6:.0f} ms"
