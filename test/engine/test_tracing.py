"""What the engine leaves in its trace: every job whole, and its time in parts."""

from __future__ import annotations

import threading
import time

import pytest

from aegis_ros.engine import EngineClient
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.engine.server.tracing import LoopTrace
from aegis_ros.rationale import Rule
from aegis_ros.spec import OverrunPolicy
from aegis_ros.trace import RingReader, RingWriter, ring_bytes
from aegis_ros.trace.explain import PartKind, split
from aegis_ros.trace.history import Ending, Trace, TracedTask
from test.engine.bench import MS, TIMEOUT_S, Bench
from test.engine.inside import Inside, fails, takes


def _traced(engine: Inside) -> RingReader:
    buffer = bytearray(ring_bytes(4096))
    engine.loop.trace = LoopTrace(RingWriter(buffer))
    return RingReader(buffer)


def _read(reader: RingReader) -> Trace:
    tasks = {number: TracedTask(number, f"task{number}") for number in range(1, 4)}
    trace = Trace(reader.read(), tasks, ("main",), lost=reader.lost)
    assert trace.lost == 0
    for job in trace.jobs.values():
        assert split(trace, job).total_ns() == job.latency_ns
    return trace


def test_what_the_loop_reported_is_what_its_trace_holds() -> None:
    engine = Inside()
    reader = _traced(engine)
    engine.load(1, takes(0.002), takes(0.001), deadline_ns=20 * MS)
    engine.load(2, takes(0.001), fails(OSError("gone")))
    engine.load(3, takes(0.001))
    with engine:
        for _ in range(5):
            engine.feed(1, 2, 3)
            time.sleep(0.004)
        reported = engine.settle()
    trace = _read(reader)
    ended = {key for key, job in trace.jobs.items() if job.ending is Ending.FINISHED}
    assert ended == set(reported.done)
    skipped = {(*key, job.rule) for key, job in trace.jobs.items() if job.ending is Ending.SKIPPED}
    assert skipped == {item[:3] for item in reported.skipped}
    for task, seq in reported.done:
        job = trace.jobs[task, seq]
        assert [run.segment for run in job.segments] == list(range(2 if task == 1 else 1))
        assert all(run.closed for run in job.segments)
        assert job.used_ns >= (3 * MS if task == 1 else MS)


def test_a_blocker_is_found_in_the_trace_of_a_real_run() -> None:
    engine = Inside()
    reader = _traced(engine)
    runs, fed = threading.Event(), threading.Event()

    def blocks() -> None:
        runs.set()
        assert fed.wait(TIMEOUT_S)
        time.sleep(0.030)

    engine.load(1, takes(0.001), deadline_ns=10 * MS)
    engine.load(2, blocks, deadline_ns=1000 * MS)
    with engine:
        engine.feed(2)
        assert runs.wait(TIMEOUT_S)
        engine.feed(1)
        fed.set()
        engine.settle()
    trace = _read(reader)
    job = trace.by_task[1][0]
    blocking = [part for part in split(trace, job).parts if part.kind is PartKind.BLOCKING]
    assert [part.by for part in blocking] == [(2, 1)]
    # It was handed in before the other one went on for 30 ms.
    assert job.late_ns >= 20 * MS and blocking[0].length_ns > 0


@pytest.mark.parametrize("policy", [OverrunPolicy.STOP, OverrunPolicy.SKIP_NEXT])
def test_an_overrun_is_on_record_with_what_followed(policy: OverrunPolicy) -> None:
    engine = Inside()
    reader = _traced(engine)
    engine.load(1, takes(0.005), takes(0.001), wcet_ns=(MS, 500 * MS), on_overrun=policy)
    with engine:
        engine.feed(1)
        engine.settle()
    trace = _read(reader)
    (job,) = trace.jobs.values()
    if policy is OverrunPolicy.STOP:
        assert job.ending is Ending.SKIPPED and job.rule is Rule.OVERRUN
    else:
        assert job.ending is Ending.FINISHED
    kinds = trace.records["kind"].tolist()
    assert kinds.count(7) == 1
    overrun = trace.records[kinds.index(7)]["values"].tolist()
    assert overrun[0] >= 5 * MS and overrun[1] == MS
    budgets = [run.budget_ns for run in job.segments]
    assert budgets == [MS, 500 * MS][: len(budgets)], "they are in the trace, not in a contract"
    assert job.segments[0].over_ns == job.segments[0].ended_ns - job.segments[0].began_ns - MS


def test_a_network_that_cannot_be_started_leaves_no_job_on_the_lane() -> None:
    engine = Inside()
    reader = _traced(engine)
    engine.load(1, takes(0.001))
    engine.device.refuse = RuntimeError("no")
    with engine:
        engine.feed(1)
        engine.settle()
        engine.device.refuse = None
        engine.feed(1)
        engine.settle()
    trace = _read(reader)
    first, second = trace.by_task[1]
    assert (first.ending, second.ending) == (Ending.SKIPPED, Ending.FINISHED)
    held = [run for run in first.segments if run.end_ns > second.released_ns or not run.closed]
    assert held == [], "it does not hold the lane until the next job"


def test_the_node_reads_the_trace_of_its_engine_process() -> None:
    memory = SharedMemory(ring_bytes(256))
    reader = RingReader(memory.bytes.data)
    bench = Bench()
    bench.client = EngineClient(
        bench.client._device,
        on_result=bench._on_result,
        on_skip=lambda *skip: None,
        on_event=lambda event: None,
        trace=memory,
    )
    with bench:
        channel = bench.channel()
        bench.load(1, MS, MS)
        bench.feed(channel, 1)
        bench.wait(lambda heard: heard.results, "a result")
        result = bench.heard.results[0]
        trace = _read(reader)
    job = trace.jobs[1, result.seq]
    assert job.arrival_ns == result.arrival_ns and job.deadline_ns == result.deadline_ns
    assert job.released_ns == result.released_ns
    assert job.segments[0].began_ns == result.started_ns
    assert job.segments[-1].ended_ns == result.finished_ns
    assert job.used_ns == result.execution_ns
