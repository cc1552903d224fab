"""Rebuilds jobs and lanes from records: what the explanations and pictures are made of."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from aegis_ros.rationale import Rationale, Rule
from aegis_ros.spec import Criticality
from aegis_ros.trace.records import Record, RecordKind, rule_of, unpacked

__all__ = [
    "NO_TASK",
    "Ending",
    "LaneChange",
    "Trace",
    "TracedJob",
    "TracedSegment",
    "TracedTask",
]

NO_TASK = 2**32 - 1  # the lane was used, but by no task: a timed run of a network


@dataclass(frozen=True, slots=True)
class TracedTask:
    """The contract of a task as it was while the trace was taken; integer nanoseconds.

    Attributes:
        id: number of the task in the records.
        name: for people.
        lane: name of its lane.
        period_ns: minimum inter-arrival time, 0 for unknown.
        deadline_ns: relative deadline of the published result.
        publish_ns: share of the deadline that is kept for decoding and publishing.
        jitter_ns: longest time from arrival to release that was declared.
        segments_ns: budget of each segment; empty for unknown.
        criticality: what is shed first.
        bound_ns: proven bound from arrival to the end of the execution, 0 for none.
        model_sha256: digest of its network.
        total_ns: budget of all segments of one job together; 0 for the sum of ``segments_ns``.
        steps: of a generator, the name of the step that each segment is a part of, such as
            ``decode 2``. Its jobs last as long as somebody is answered: no deadline is promised to
            them. Empty for a network.
    """

    id: int
    name: str
    lane: str = ""
    period_ns: int = 0
    deadline_ns: int = 0
    publish_ns: int = 0
    jitter_ns: int = 0
    segments_ns: tuple[int, ...] = ()
    criticality: str = ""
    bound_ns: int = 0
    model_sha256: str = ""
    total_ns: int = 0
    steps: tuple[str, ...] = ()

    @property
    def promised(self) -> bool:
        """Whether its jobs have a deadline that is promised."""
        return self.criticality != Criticality.BEST_EFFORT and not self.steps

    @property
    def work_ns(self) -> int:
        """Budget of a whole job, 0 for unknown."""
        return self.total_ns or sum(self.segments_ns)


@dataclass(slots=True)
class TracedSegment:
    """One stay of a job on a lane.

    Attributes:
        task, seq: whose; ``task`` is :data:`NO_TASK` for a timed run.
        segment: its index.
        lane: index of the lane.
        begin_ns: when the lane was given to it.
        began_ns, ended_ns: when the device began and ended it.
        end_ns: when the lane was seen to be free again.
        rank: place in the order of the lane, smallest first.
        budget_ns: what it was allowed to take, 0 for unknown.
        over_ns: how much of its end, before ``ended_ns``, lies beyond the budget of its job.
        closed: whether its end is on record.
    """

    task: int
    seq: int
    segment: int
    lane: int
    begin_ns: int
    began_ns: int
    ended_ns: int
    end_ns: int
    rank: int
    budget_ns: int
    over_ns: int = 0
    closed: bool = False


class Ending(StrEnum):
    """How a job ended."""

    FINISHED = "finished"
    SKIPPED = "skipped"
    LOST = "lost"
    OPEN = "open"


@dataclass(slots=True)
class TracedJob:
    """One job; times in monotonic nanoseconds, 0 for what is not on record.

    Attributes:
        arrival_ns: nominal arrival, which the scheduler counts from: the earliest one that agrees
            with the declared period and jitter.
        stamped_ns: when the frame was stamped, 0 without a stamp to trust.
        deadline_ns: absolute deadline of what ``end_ns`` marks: the result's where it was
            published, the execution's otherwise; ``begin_ns`` for a generator, which has none.
        end_ns: when it was published, else finished, skipped or lost, else the trace's last time.
        rule: why it was skipped.
        promised: whether its deadline was; that of best effort is not.
        early_exit: whether it ended at an early exit of its network.
    """

    task: int
    seq: int
    lane: int
    arrival_ns: int
    received_ns: int
    released_ns: int
    deadline_ns: int
    rank: int
    segments: list[TracedSegment] = field(default_factory=list)
    ending: Ending = Ending.OPEN
    rule: Rule | None = None
    finished_ns: int = 0
    handed_ns: int = 0
    decoded_ns: int = 0
    due_ns: int = 0
    published_ns: int = 0
    end_ns: int = 0
    promised: bool = True
    early_exit: bool = False
    stamped_ns: int = 0

    @property
    def begin_ns(self) -> int:
        """What latency and deadline count from: the stamp, or the nominal arrival without one.

        A stamp from the future counts as one of the reception.
        """
        first = self.stamped_ns or self.arrival_ns
        return min(first, self.received_ns) if self.received_ns else first

    @property
    def latency_ns(self) -> int:
        """From ``begin_ns`` to the end."""
        return self.end_ns - self.begin_ns

    @property
    def late_ns(self) -> int:
        """By how much it was late; negative for in time.

        0 for one without a result, and for best effort, which is as old as it is.
        """
        counts = self.promised and self.ending is Ending.FINISHED
        return self.end_ns - self.deadline_ns if counts else 0

    @property
    def used_ns(self) -> int:
        """Time the device worked for it."""
        return sum(part.ended_ns - part.began_ns for part in self.segments)


@dataclass(frozen=True, slots=True)
class LaneChange:
    """A lane began (``on``) or ceased to shed tasks."""

    lane: int
    time_ns: int
    on: bool


@dataclass(frozen=True)
class Trace:
    """A run, from its file or from a simulation.

    Attributes:
        records: RECORD [N], in any order.
        tasks: by number; a number that is not here is shown as such.
        lanes: names.
        rationales: decisions, in the order in which they were taken.
        lost: records that were overwritten before anybody read them.
        config: the configuration as YAML; may be empty.
        digests: of models and profiles, by name.
        facts: versions, host, device and the like.
        states: (monotonic nanoseconds, arena, engine, device … at that time).
        wall_offset_ns: wall clock minus monotonic clock.
        cut: whether a file ended without its closing part (its writer still runs, or was killed).
    """

    records: npt.NDArray[np.void]
    tasks: Mapping[int, TracedTask] = field(default_factory=dict)
    lanes: tuple[str, ...] = ()
    rationales: tuple[Rationale, ...] = ()
    lost: int = 0
    config: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    states: tuple[tuple[int, Mapping[str, Any]], ...] = ()
    wall_offset_ns: int = 0
    cut: bool = False

    @cached_property
    def span_ns(self) -> tuple[int, int]:
        """First and last time on record; both 0 for an empty trace."""
        if not len(self.records):
            return 0, 0
        times = self.records["time_ns"]
        first = int(times.min())
        begins = [job.begin_ns for job in self.jobs.values()]
        return min([first, *begins]), int(times.max())

    @cached_property
    def jobs(self) -> Mapping[tuple[int, int], TracedJob]:
        """Every job whose release is on record, by task and number, in the order of release."""
        return self._rebuilt[0]

    @cached_property
    def by_task(self) -> Mapping[int, tuple[TracedJob, ...]]:
        """The jobs of each task, in the order of their numbers."""
        sorted_jobs: dict[int, list[TracedJob]] = {}
        for job in self.jobs.values():
            sorted_jobs.setdefault(job.task, []).append(job)
        return {
            task: tuple(sorted(jobs, key=lambda job: job.seq))
            for task, jobs in sorted(sorted_jobs.items())
        }

    @cached_property
    def lane_changes(self) -> tuple[LaneChange, ...]:
        """When lanes began and ceased to shed."""
        return self._rebuilt[2]

    def lane_segments(self, lane: int) -> tuple[TracedSegment, ...]:
        """Return what ran on a lane, in order."""
        return self._lanes.get(lane, ())

    @cached_property
    def used_lanes(self) -> tuple[int, ...]:
        """Indices of the lanes that are named or ran something."""
        return tuple(sorted({*range(len(self.lanes)), *self._lanes}))

    def holders(self, lane: int, begin_ns: int, end_ns: int) -> tuple[TracedSegment, ...]:
        """Return what held a lane at some time in [begin, end), in order."""
        runs = self._lanes.get(lane, ())
        begins = self._begins.get(lane, [])
        first = max(0, bisect_right(begins, begin_ns) - 1)
        last = bisect_left(begins, end_ns)
        return tuple(run for run in runs[first:last] if run.end_ns > begin_ns)

    def lane_name(self, lane: int) -> str:
        """Return the name of a lane."""
        return self.lanes[lane] if lane < len(self.lanes) else f"lane {lane}"

    def task_name(self, task: int) -> str:
        """Return the name of a task."""
        if task == NO_TASK:
            return "a timed run"
        known = self.tasks.get(task)
        return known.name if known is not None else f"task {task}"

    def job_name(self, task: int, seq: int) -> str:
        """Return a job as people name it."""
        return self.task_name(task) if task == NO_TASK else f"{self.task_name(task)}#{seq}"

    def step_name(self, task: int, segment: int) -> str:
        """Return the step of a generator that a segment is a part of; empty for a network's."""
        known = self.tasks.get(task)
        steps = () if known is None else known.steps
        return steps[segment] if segment < len(steps) else ""

    def segment_name(self, task: int, segment: int) -> str:
        """Return a segment as people name it: ``segment 2``, or ``decode 4 part 1``."""
        step = self.step_name(task, segment)
        if not step:
            return f"segment {segment}"
        steps = self.tasks[task].steps
        part = segment - steps.index(step)
        return f"{step} part {part}" if steps.count(step) > 1 else step

    @cached_property
    def _lanes(self) -> Mapping[int, tuple[TracedSegment, ...]]:
        return self._rebuilt[1]

    @cached_property
    def _begins(self) -> Mapping[int, list[int]]:
        return {lane: [run.begin_ns for run in runs] for lane, runs in self._lanes.items()}

    @cached_property
    def _rebuilt(
        self,
    ) -> tuple[
        dict[tuple[int, int], TracedJob],
        dict[int, tuple[TracedSegment, ...]],
        tuple[LaneChange, ...],
    ]:
        return _Rebuilding(self).result()


class _Rebuilding:
    """Goes through the records once."""

    def __init__(self, trace: Trace) -> None:
        self._tasks = trace.tasks
        # By time; at one instant in the order in which they were written.
        order = np.lexsort((trace.records["serial"], trace.records["time_ns"]))
        self._records = trace.records[order]
        self._jobs: dict[tuple[int, int], TracedJob] = {}
        self._runs: dict[int, list[TracedSegment]] = {}
        self._changes: list[LaneChange] = []
        self._on_lane: dict[int, TracedSegment] = {}
        frames = self._records[self._records["kind"] == RecordKind.FRAME]
        jobs = zip(frames["task"].tolist(), frames["seq"].tolist(), strict=True)
        self._stamps = dict(zip(jobs, frames["values"][:, 0].tolist(), strict=True))

    def result(
        self,
    ) -> tuple[
        dict[tuple[int, int], TracedJob],
        dict[int, tuple[TracedSegment, ...]],
        tuple[LaneChange, ...],
    ]:
        """Return jobs, what ran on each lane, and changes of mode."""
        last = 0
        for record in unpacked(self._records):
            last = record.time_ns
            self._take(record)
        for run in self._on_lane.values():
            _close(run, last)
        for job in self._jobs.values():
            job.end_ns = job.end_ns or max(last, job.released_ns)
            _note_overruns(job, self._tasks.get(job.task))
        lanes = {lane: tuple(runs) for lane, runs in sorted(self._runs.items())}
        return self._jobs, lanes, tuple(self._changes)

    def _take(self, record: Record) -> None:
        kind, lane, _, task, seq, time_ns, values, _ = record
        if kind == RecordKind.SEGMENT_STARTED:
            self._start(record)
        elif kind == RecordKind.SEGMENT_ENDED:
            self._end(record)
        elif kind == RecordKind.RELEASED:
            arrival, received, deadline, rank = values
            known = self._tasks.get(task)
            released = TracedJob(
                task,
                seq,
                lane,
                arrival,
                received,
                time_ns,
                deadline,
                rank,
                promised=known is None or known.promised,
                stamped_ns=self._stamps.get((task, seq), 0),
            )
            if known is not None and known.steps:
                released.deadline_ns = released.begin_ns
            else:
                released.deadline_ns += released.begin_ns - arrival
            self._jobs[task, seq] = released
        elif kind in (RecordKind.SHED, RecordKind.RESTORED):
            self._changes.append(LaneChange(lane, time_ns, kind == RecordKind.SHED))
        elif kind != RecordKind.GATED:  # a frame of no job
            job = self._jobs.get((task, seq))
            if job is not None:
                self._conclude(job, record)

    def _start(self, record: Record) -> None:
        _, lane, segment, task, seq, at_ns, values, _ = record
        before = self._on_lane.pop(lane, None)
        if before is not None:
            _close(before, at_ns)  # its end was overwritten, or its engine went
        run = TracedSegment(
            task, seq, segment, lane, at_ns, at_ns, at_ns, at_ns, values[0], values[1]
        )
        self._on_lane[lane] = run
        self._runs.setdefault(lane, []).append(run)
        job = self._jobs.get((task, seq))
        if job is not None:
            job.segments.append(run)

    def _end(self, record: Record) -> None:
        time_ns, values = record.time_ns, record.values
        run = self._on_lane.get(record.lane)
        if run is None or (run.task, run.seq) != (record.task, record.seq):
            return
        del self._on_lane[record.lane]
        _close(run, time_ns)
        run.closed = True
        began, ended = values[0] or run.begin_ns, values[1] or time_ns
        run.began_ns = min(max(began, run.begin_ns), time_ns)
        run.ended_ns = min(max(ended, run.began_ns), time_ns)

    def _conclude(self, job: TracedJob, record: Record) -> None:
        kind, time_ns, values = record.kind, record.time_ns, record.values
        if kind == RecordKind.FINISHED:
            job.ending = Ending.FINISHED
            job.early_exit = values[3] == 1
            job.finished_ns = time_ns
            job.end_ns = max(job.end_ns, time_ns)
        elif kind == RecordKind.PUBLISHED:
            job.handed_ns, job.decoded_ns, job.due_ns = values[:3]
            job.published_ns = time_ns
            job.end_ns = time_ns
            task = self._tasks.get(job.task)
            if task is not None and task.deadline_ns:
                job.deadline_ns = job.begin_ns + task.deadline_ns
        elif kind == RecordKind.SKIPPED:
            job.ending = Ending.SKIPPED
            job.rule = rule_of(values[0])
            job.end_ns = time_ns
            self._leave(job, time_ns)
        elif kind == RecordKind.LOST:
            job.ending = Ending.LOST
            job.rule = Rule.ENGINE_RESTART
            job.end_ns = time_ns
            self._leave(job, time_ns)

    def _leave(self, job: TracedJob, time_ns: int) -> None:
        """Take a job from its lane that ended without the end of its segment on record."""
        run = self._on_lane.get(job.lane)
        if run is not None and (run.task, run.seq) == (job.task, job.seq):
            del self._on_lane[job.lane]
            _close(run, time_ns)


def _close(run: TracedSegment, time_ns: int) -> None:
    run.ended_ns = run.end_ns = max(time_ns, run.begin_ns)


def _note_overruns(job: TracedJob, task: TracedTask | None) -> None:
    """Find where the job was beyond its budget; what one segment left may be used by the next."""
    used = allowed = most = 0
    for run in job.segments:
        budget = run.budget_ns
        if not budget and task is not None and run.segment < len(task.segments_ns):
            budget = task.segments_ns[run.segment]
        if not budget:
            return
        taken = run.ended_ns - run.began_ns
        used += taken
        allowed += budget
        run.over_ns = min(taken, max(0, used - allowed - most))
        most = max(most, used - allowed)
