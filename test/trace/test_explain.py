"""Latencies taken apart: the parts add up, and each belongs to whom it is said to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aegis_ros.analysis import AnalysisTask
from aegis_ros.scheduling import CwEdf
from aegis_ros.simulation import Outcome, Run, Workload, simulate, sporadic_arrivals
from aegis_ros.simulation.tracing import trace_of
from aegis_ros.spec import Criticality
from aegis_ros.trace import RECORD, RecordKind
from aegis_ros.trace.explain import WAITING, Part, PartKind, split
from aegis_ros.trace.history import Ending, Trace, TracedTask
from aegis_ros.trace.summary import figures, worst_jobs
from test.task_sets import task_sets
from test.trace.made import traced

_SHORT = AnalysisTask("short", (2,), 10, 5)
_LONG = AnalysisTask("long", (4, 4), 50, 50)


def _outcome(tasks: list[AnalysisTask], seed: int, late: float, deep: bool) -> Outcome:
    """A run with jitter, overruns and overload."""
    generator = np.random.default_rng(seed)
    work = sporadic_arrivals(tasks, 300, generator).with_overruns(0, 2.0, late, generator)
    return simulate(tasks, work, queue=1000 if deep else 1, keep_runs=True)


_RUNS = st.builds(
    _outcome, task_sets(), st.integers(0, 10**6), st.sampled_from([0.0, 0.3]), st.booleans()
)


@given(_RUNS)
def test_the_parts_of_every_job_add_up_to_its_latency_exactly(outcome: Outcome) -> None:
    trace = trace_of(("lane", outcome))
    assert len(trace.jobs) == len(outcome.workload)
    for job in trace.jobs.values():
        parts = split(trace, job)
        assert sum(part.length_ns for part in parts.parts) == job.latency_ns
        at = job.arrival_ns
        for span in parts.spans:
            assert span.begin_ns == at < span.end_ns
            at = span.end_ns
        assert at == job.end_ns
        if job.ending is Ending.FINISHED:
            assert job.latency_ns == outcome.response_ns[job.seq]


@given(_RUNS)
def test_every_part_was_spent_on_what_really_ran_then(outcome: Outcome) -> None:
    trace = trace_of(("lane", outcome))
    work = outcome.workload
    ran: dict[int, Run | None] = {}
    for each in outcome.runs:
        ran.update(dict.fromkeys(range(each.start_ns, each.end_ns), each))
    for job in trace.jobs.values():
        for span in split(trace, job).spans:
            for t in range(span.begin_ns, span.end_ns):
                run = ran.get(t)
                if span.kind in (PartKind.TRANSPORT, PartKind.INTAKE):
                    assert t < work.ready_ns[job.seq]
                elif span.kind in (PartKind.EXECUTION, PartKind.OVERRUN):
                    assert run is not None and run.job == job.seq
                elif span.by is not None:
                    assert run is not None and run.job == span.by.seq != job.seq
                    assert run.step == span.by.segment
                    less_urgent = outcome.deadline_ns[run.job] > outcome.deadline_ns[job.seq]
                    same = work.task[run.job] == job.task
                    assert same == (span.kind is PartKind.BACKLOG)
                    assert same or less_urgent == (span.kind is PartKind.BLOCKING)
                else:
                    assert span.kind is PartKind.IDLE and run is None
    if not outcome.skipped.any():  # EDF never idles while a job is ready
        for job in trace.jobs.values():
            assert split(trace, job).total_ns(PartKind.IDLE) == 0


@given(_RUNS)
def test_overruns_are_what_was_taken_beyond_the_budgets(outcome: Outcome) -> None:
    trace = trace_of(("lane", outcome))
    for job in trace.jobs.values():
        used = over = 0
        task = outcome.tasks[job.task]
        for run in job.segments:
            used += run.ended_ns - run.began_ns
            over = max(over, used - sum(task.segments_ns[: run.segment + 1]))
        assert split(trace, job).total_ns(PartKind.OVERRUN) == over


def test_a_job_beyond_the_budget_of_its_whole_is_an_overrun() -> None:
    task = AnalysisTask("cut", (10, 10, 10), 100, 100, total_ns=21)
    work = Workload.of(np.array([0]), np.array([0]), np.array([0]), [(9, 10, 7)])
    trace = trace_of(("lane", simulate([task], work, keep_runs=True)))
    (job,) = trace.jobs.values()
    assert [run.over_ns for run in job.segments] == [0, 0, 5]
    assert trace.tasks[0].work_ns == 21


def test_a_policy_that_idles_is_distinguished_from_other_jobs() -> None:
    tasks = [AnalysisTask("urgent", (2,), 10, 4), AnalysisTask("long", (9,), 40, 40)]
    work = Workload.of(
        np.array([0, 1, 0, 0, 0]),
        np.array([0, 4, 10, 20, 30]),
        np.array([0, 4, 10, 20, 30]),
        [(2,), (9,), (2,), (2,), (2,)],
    )
    outcome = simulate(tasks, work, policy=CwEdf(), keep_runs=True)
    trace = trace_of(("lane", outcome))
    idle = [split(trace, job).total_ns(PartKind.IDLE) for job in trace.by_task[1]]
    assert idle == [6], "from 4 on, to keep the lane free for the job that may come at 10"


def test_a_blocker_is_named_with_its_segment() -> None:
    trace = traced([_SHORT, _LONG], [(1, 0, 0, (4, 4)), (0, 5, 5, (2,))])
    job = trace.by_task[0][0]
    assert job.late_ns == 0
    (blocking, execution) = split(trace, job).parts
    assert (blocking.kind, blocking.length_ns, blocking.by) == (PartKind.BLOCKING, 3, (1, 0))
    assert blocking.segments == (1,)
    assert (execution.kind, execution.length_ns) == (PartKind.EXECUTION, 2)


def _real() -> Trace:
    """One job of an engine, with every part a device and a node add."""
    rows = [
        (RecordKind.RELEASED, 0, 130, [100, 120, 300, 300]),
        (RecordKind.SEGMENT_STARTED, 0, 140, [300, 50]),
        (RecordKind.SEGMENT_ENDED, 0, 210, [142, 205, 0]),
        (RecordKind.FINISHED, 0, 212, [100, 300, 63]),
        (RecordKind.PUBLISHED, 0, 250, [220, 240]),
    ]
    records = np.zeros(len(rows), RECORD)
    for index, (kind, segment, time_ns, values) in enumerate(rows):
        row = (kind, 0, segment, 3, 9, time_ns, values + [0] * (4 - len(values)), index)
        records[index] = row
    return Trace(records, {3: TracedTask(3, "camera", deadline_ns=220, publish_ns=20)})


def test_the_parts_of_a_real_job_are_distinguished() -> None:
    trace = _real()
    (job,) = trace.jobs.values()
    lengths = {part.kind: part.length_ns for part in split(trace, job).parts}
    assert lengths == {
        PartKind.TRANSPORT: 20,
        PartKind.INTAKE: 10,
        PartKind.IDLE: 10,
        PartKind.HANDOVER: 2 + 5,
        PartKind.EXECUTION: 50,
        PartKind.OVERRUN: 13,
        PartKind.OUTPUT: 2 + 8 + 20,
        PartKind.PUBLISH: 10,
    }
    assert job.deadline_ns == 320 and job.late_ns == 250 - 320


def test_without_a_stamp_no_latency_begins_after_the_frame_came() -> None:
    trace = _real()
    records = trace.records.copy()
    records["values"][0, 0] = 125  # the nominal arrival of a frame that was held up
    (job,) = replace(trace, records=records).jobs.values()
    assert (job.arrival_ns, job.begin_ns) == (125, 120)


def test_with_a_stamp_a_latency_counts_from_it() -> None:
    trace = _real()
    stamped = np.zeros(1, RECORD)
    stamped[0] = (RecordKind.FRAME, 0, 0, 3, 9, 128, [115, 0, 0, 0], 9)
    trace = replace(trace, records=np.concatenate([trace.records, stamped]))
    (job,) = trace.jobs.values()
    assert (job.arrival_ns, job.begin_ns, job.latency_ns) == (100, 115, 135)
    assert split(trace, job).parts[0] == Part(PartKind.TRANSPORT, 5)
    assert split(trace, job).total_ns() == 135
    assert job.deadline_ns == 115 + 220


def test_a_job_of_best_effort_is_never_late_and_gives_way_to_everything() -> None:
    tasks = [
        AnalysisTask("camera", (5,), 40, 40),
        AnalysisTask("vlm", (10, 10), 15, 15, 0, Criticality.BEST_EFFORT),
    ]
    trace = traced(tasks, [(1, 0, 0, (10, 10)), (0, 5, 5, (5,))])
    (camera,), (vlm,) = trace.by_task[0], trace.by_task[1]
    assert vlm.latency_ns == 25 and vlm.late_ns == 0 and not vlm.promised
    assert camera.promised and camera.late_ns < 0
    assert PartKind.BLOCKING in {part.kind for part in split(trace, camera).parts}
    assert figures(trace)[1].late == 0
    assert list(worst_jobs(trace, 2)) == [camera, vlm]


def test_records_that_are_missing_cost_no_nanosecond() -> None:
    whole = _real()
    for gone in range(1, len(whole.records)):
        trace = Trace(np.delete(whole.records, gone), whole.tasks)
        (job,) = trace.jobs.values()
        assert split(trace, job).total_ns() == job.latency_ns


@given(_RUNS, st.data())
def test_a_trace_with_holes_still_adds_up(outcome: Outcome, data: st.DataObject) -> None:
    whole = trace_of(("lane", outcome))
    kept = data.draw(
        st.lists(st.booleans(), min_size=len(whole.records), max_size=len(whole.records))
    )
    trace = Trace(whole.records[np.array(kept, bool)], whole.tasks, whole.lanes)
    for job in trace.jobs.values():
        parts = split(trace, job)
        assert parts.total_ns() == job.latency_ns
        assert parts.total_ns(*WAITING) <= job.latency_ns
