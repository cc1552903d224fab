"""Recording: the file holds what the engine did, across its restarts, and what the node added."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("mcap")

from aegis_ros.engine import EngineClient
from aegis_ros.orchestrator.recording import TraceRecorder
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.trace import RecordKind, RingWriter, ring_bytes
from aegis_ros.trace.explain import PartKind, split
from aegis_ros.trace.history import Ending, TracedTask
from aegis_ros.trace.mcap_file import TraceFile, read_trace
from test.engine.bench import HANG, MS, Bench


def _bench(recorder: TraceRecorder) -> Bench:
    bench = Bench()
    heard = bench.heard
    bench.client = EngineClient(
        bench.client._device,
        on_result=bench._on_result,
        on_skip=lambda *skip: bench._note(heard.skips, skip),
        on_event=lambda event: bench._note(heard.events, event),
        trace=recorder.memory,
    )
    return bench


def test_a_run_is_rebuilt_from_its_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    recorder = TraceRecorder(TraceFile(path, lanes=("lane0",)))
    bench = _bench(recorder)
    recorder.task(TracedTask(1, "camera", "lane0", deadline_ns=1000 * MS, publish_ns=MS))
    recorder.rationale(Rationale(1, 10**18, "camera", Decision.ADMITTED, Rule.LIMIT, "It fits."))
    recorder.state({"arena_bytes": 7})
    with bench:
        channel = bench.channel()
        bench.load(1, MS, MS)
        for _ in range(5):
            bench.feed(channel, 1)
            time.sleep(0.01)
        bench.wait(lambda heard: len(heard.results) == 5, "five results")
        for result in bench.heard.results:
            end = result.finished_ns + 3 * MS
            recorder.published(1, result.seq, end, end + MS, end + 2 * MS)
        recorder.close()
    trace = read_trace(path)
    assert not trace.cut and trace.lost == 0
    assert trace.rationales[0].sentence == "It fits." and trace.states[0][1] == {"arena_bytes": 7}
    assert len(trace.by_task[1]) == 5
    for job, result in zip(trace.by_task[1], bench.heard.results, strict=True):
        assert job.ending is Ending.FINISHED and job.used_ns == result.execution_ns
        parts = split(trace, job)
        assert parts.total_ns() == job.latency_ns == result.finished_ns + 5 * MS - job.arrival_ns
        assert parts.total_ns(PartKind.PUBLISH) == MS


def test_recording_goes_on_with_the_engine_that_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    recorder = TraceRecorder(TraceFile(path, lanes=("lane0",)))
    bench = _bench(recorder)
    with bench:
        channel = bench.channel()
        bench.load(1, MS)
        before = bench.feed(channel, 1)
        bench.wait(lambda heard: heard.results, "a result")
        hanging = bench.feed(channel, 1, value=HANG)
        bench.running(1)
        bench.kill(signal.SIGKILL)
        bench.wait(lambda heard: any(event.recovered for event in heard.events), "recovery")
        recorder.lost(job for event in bench.heard.events for job in event.lost)
        after = bench.feed(channel, 1)
        bench.wait(lambda heard: len(heard.results) == 2, "another result")
        recorder.close()
    jobs = {job.seq: job.ending for job in read_trace(path).jobs.values()}
    assert jobs == {before: Ending.FINISHED, hanging: Ending.LOST, after: Ending.FINISHED}


def test_what_a_slow_recorder_missed_is_counted_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.mcap"
    monkeypatch.setattr("aegis_ros.orchestrator.recording._RING_BYTES", ring_bytes(8))
    monkeypatch.setattr("aegis_ros.orchestrator.recording._INTERVAL_S", 60.0)
    recorder = TraceRecorder(TraceFile(path))
    writer = RingWriter(recorder.memory.bytes.data)
    for seq in range(1000):
        writer.write(RecordKind.RELEASED, 1, 1, seq)
    recorder.close()
    trace = read_trace(path)
    assert trace.lost > 0 and trace.lost + len(trace.records) == 1000


def test_a_disk_that_fails_ends_the_trace_and_nothing_else(tmp_path: Path) -> None:
    class Full(TraceFile):
        def add_rationale(self, rationale: Rationale) -> None:
            raise OSError("no space left on device")

    problems: list[str] = []
    recorder = TraceRecorder(Full(tmp_path / "run.mcap"), problems.append)
    for _ in range(2):
        recorder.rationale(Rationale(1, 1, "", Decision.INFORMED, Rule.STATE, "."))
        time.sleep(0.25)
    recorder.close()
    assert problems == ["nothing more is traced: OSError: no space left on device"]
