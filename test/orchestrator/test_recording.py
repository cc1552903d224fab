"""Recording: the file holds what the engine did, across its restarts, and what the node added."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mcap")

from aegis_ros.device import DeviceState
from aegis_ros.engine import EngineClient, JobResult
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.orchestrator import FrameTimes, Orchestrator
from aegis_ros.orchestrator.recording import TraceRecorder
from aegis_ros.rationale import Decision, Rationale, Rule
from aegis_ros.spec import TraceSpec
from aegis_ros.trace import RecordKind, RingWriter, ring_bytes
from aegis_ros.trace.balance import Balance
from aegis_ros.trace.explain import Part, PartKind, split
from aegis_ros.trace.history import Ending, TracedTask
from aegis_ros.trace.mcap_file import TraceFile, read_trace
from aegis_ros.trace.states import RunState, run_states
from test.engine.bench import HANG, MS, Bench
from test.given_back import give_back_at_the_end
from test.orchestrator.house import House
from test.waiting import until


def _bench(memory: SharedMemory) -> Bench:
    bench = Bench()
    heard = bench.heard
    bench.client = EngineClient(
        bench.client._device,
        on_result=bench._on_result,
        on_skip=lambda skip: bench._note(heard.skips, skip),
        on_event=lambda event: bench._note(heard.events, event),
        trace=memory,
    )
    return bench


def test_a_run_is_rebuilt_from_its_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    memory = SharedMemory(ring_bytes(4096))
    recorder = TraceRecorder(TraceFile(path, lanes=("lane0",)), memory)
    bench = _bench(memory)
    recorder.task(TracedTask(1, "camera", "lane0", deadline_ns=1000 * MS, publish_ns=MS))
    recorder.rationale(Rationale(1, 10**18, "camera", Decision.ADMITTED, Rule.LIMIT, "It fits."))
    recorder.state(RunState(5, arena_used_bytes=7, waiting={"lane0": 2}))
    with bench:
        channel = bench.channel()
        bench.load(1, MS, MS)
        for count in range(1, 6):  # one after the other, or a newer frame replaces one that waits
            bench.feed(channel, 1)
            bench.wait(lambda heard, count=count: len(heard.results) == count, "a result")
        for result in bench.heard.results:
            end = result.finished_ns + 3 * MS
            recorder.published(1, result.seq, end + MS, end + 2 * MS)
        recorder.close()
    trace = read_trace(path)
    assert not trace.cut and trace.lost == 0
    assert trace.rationales[0].sentence == "It fits."
    assert run_states(trace) == (RunState(5, arena_used_bytes=7, waiting={"lane0": 2}),)
    assert len(trace.by_task[1]) == 5
    for job, result in zip(trace.by_task[1], bench.heard.results, strict=True):
        assert job.ending is Ending.FINISHED and job.used_ns == result.execution_ns
        parts = split(trace, job)
        assert parts.total_ns() == job.latency_ns == result.finished_ns + 5 * MS - job.arrival_ns
        assert parts.total_ns(PartKind.PUBLISH) == MS


def test_recording_goes_on_with_the_engine_that_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "run.mcap"
    memory = SharedMemory(ring_bytes(4096))
    recorder = TraceRecorder(TraceFile(path, lanes=("lane0",)), memory)
    bench = _bench(memory)
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
    monkeypatch.setattr("aegis_ros.orchestrator.recording._INTERVAL_S", 60.0)
    memory = SharedMemory(ring_bytes(8))
    recorder = TraceRecorder(TraceFile(path), memory)
    writer = RingWriter(memory.bytes.data)
    for seq in range(1000):
        writer.write(RecordKind.RELEASED, 1, 1, seq)
    recorder.close()
    trace = read_trace(path)
    assert trace.lost > 0 and trace.lost + len(trace.records) == 1000


def test_a_fault_of_ours_ends_the_trace_and_nothing_else(tmp_path: Path) -> None:
    class Faulty(TraceFile):
        def add_rationale(self, rationale: Rationale) -> None:
            raise KeyError("a fault")

    problems: list[str] = []
    recorder = TraceRecorder(Faulty(tmp_path / "run.mcap"), SharedMemory(4096), problems.append)
    for _ in range(2):
        recorder.rationale(Rationale(1, 1, "", Decision.INFORMED, Rule.STATE, "."))
        time.sleep(0.25)
    recorder.close()
    assert problems == ["KeyError: 'a fault'"]


class _FullWriter:
    """Writes the beginning of a file to a disk without room."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self, *_: object) -> None:
        raise OSError(28, "No space left on device")


class _Disk(TraceFile):
    """A trace on a disk that may be full."""

    full = False
    refused_times = 0

    def flush(self) -> None:
        self._room()
        super().flush()

    def resume(self) -> int:
        self._room()
        return super().resume()

    def _room(self) -> None:
        if self.full:
            self.refused_times += 1
            raise OSError(28, "No space left on device")


def test_a_trace_goes_on_when_a_disk_that_was_full_takes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.orchestrator.recording._RETRY_NS", 1)
    monkeypatch.setattr("aegis_ros.trace.mcap_file._FLUSH_NS", 0)
    problems: list[str] = []
    resumed: list[int] = []
    path = tmp_path / "run.mcap"
    file, memory = _Disk(path), SharedMemory(ring_bytes(4096))
    recorder = TraceRecorder(
        file, memory, problems.append, lambda missing, stood_ns: resumed.append(missing)
    )
    writer = RingWriter(memory.bytes.data)

    def write(seq: int) -> None:
        writer.write(RecordKind.RELEASED, time.monotonic_ns(), 1, seq)

    write(0)
    until(lambda: len(read_trace(path).records) == 1)
    file.full = True
    write(1)
    until(lambda: problems)
    write(2)
    recorder.task(TracedTask(1, "camera"))
    before = file.refused_times
    until(lambda: file.refused_times > before + 2)
    file.full = False
    until(lambda: resumed)
    write(3)
    recorder.close()
    trace = read_trace(path)
    assert problems == ["OSError: [Errno 28] No space left on device"]
    assert file.parts == 2
    assert [int(record["seq"]) for record in trace.records] == [0, 3]
    assert trace.lost == resumed[0] == 2
    assert trace.task_name(1) == "camera"


def test_a_run_that_begins_on_a_full_disk_is_traced_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.orchestrator.recording._RETRY_NS", 1)
    path = tmp_path / "run.mcap"
    with monkeypatch.context() as full:
        full.setattr("aegis_ros.trace.mcap_file.Writer", _FullWriter)
        file = _Disk(path)
    assert not path.exists()
    file.full = True
    memory = SharedMemory(ring_bytes(4096))
    problems: list[str] = []
    resumed: list[int] = []
    recorder = TraceRecorder(
        file, memory, problems.append, lambda missing, stood_ns: resumed.append(missing)
    )
    assert problems == ["OSError: [Errno 28] No space left on device"]
    recorder.task(TracedTask(1, "camera"))
    writer = RingWriter(memory.bytes.data)
    writer.write(RecordKind.RELEASED, time.monotonic_ns(), 1, 0)
    before = file.refused_times
    until(lambda: file.refused_times > before + 2)
    file.full = False
    until(lambda: resumed)
    writer.write(RecordKind.RELEASED, time.monotonic_ns(), 1, 1)
    recorder.close()
    trace = read_trace(path)
    assert [int(record["seq"]) for record in trace.records] == [1]
    assert trace.lost == resumed[0] == 1
    assert trace.task_name(1) == "camera"
    assert len(problems) == 1


def test_a_disk_that_is_full_again_and_again_is_tried_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aegis_ros.orchestrator.recording._RETRY_NS", 1)
    monkeypatch.setattr("aegis_ros.orchestrator.recording._INTERVAL_S", 0.001)
    monkeypatch.setattr("aegis_ros.trace.mcap_file._FLUSH_NS", 0)

    class Full(_Disk):
        full = True

        def resume(self) -> int:
            return TraceFile.resume(self)

    problems, memory = list[str](), SharedMemory(ring_bytes(4096))
    recorder = TraceRecorder(Full(tmp_path / "run.mcap"), memory, problems.append)
    end = time.monotonic() + 100.0
    while len(problems) < 6:
        assert time.monotonic() < end
        recorder.gated(1, 1, Rule.DECIMATION, time.monotonic_ns())
        time.sleep(0.001)
    assert recorder._delay_ns >= 2**5
    recorder.close()


def test_a_trace_forgets_the_tasks_that_are_gone(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.spec = replace(house.spec, trace=TraceSpec("run.mcap"))
    house.orchestrator = house._open()
    house.start()
    recorder = house.orchestrator._trace.recorder
    assert recorder is not None
    for _ in range(20):
        assert house.orchestrator.register(house.task()).accepted
        house.orchestrator.unregister("detector")
    until(lambda: len(recorder._file._gone) == 20)
    recorder._file.resume()
    assert recorder._file._tasks == {}
    house.orchestrator.cleanup()


def test_a_configuration_with_a_trace_leaves_a_file_with_all_that_is_known(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    spec = replace(house.spec, tasks=(house.task("camera"),))
    results: list[JobResult] = []
    traced = replace(spec, trace=TraceSpec("run_%Y.mcap"))
    folder = tmp_path / "state"
    folder.mkdir()
    orchestrator = Orchestrator(
        traced, state_dir=folder, on_result=lambda _, result: results.append(result)
    )
    give_back_at_the_end(orchestrator.cleanup)
    (answer,) = orchestrator.configure()
    assert answer.accepted, answer.rationale.sentence
    orchestrator.activate()
    (stream,) = orchestrator.intake.streams()
    frame = np.zeros((16, 24, 3), np.uint8)
    now = time.monotonic_ns()
    taken = orchestrator.intake.take(stream.key, now)
    assert taken is not None
    taken.array(frame.shape)[...] = frame
    wall = time.time_ns()
    times = FrameTimes(wall - 5 * MS, now, now + MS // 2, wall)
    orchestrator.intake.commit(taken, frame.shape, times)
    result = until(lambda: results)[0]
    decoded_ns = time.monotonic_ns()
    orchestrator.published(
        result.task_id,
        5 * MS,
        result.execution_ns,
        True,
        seq=result.seq,
        handed_ns=result.handed_ns,
        decoded_ns=decoded_ns,
    )
    result.release()
    orchestrator.device_changed(DeviceState(0.9, 71.0, True, "a test"))
    orchestrator.cleanup()
    (path,) = (folder / "nodes" / "orchestrator" / "traces").glob("run_2*.mcap")
    trace = read_trace(path)
    task = trace.tasks[answer.task_id]
    assert task.name == "camera" and task.lane == "lane0" and len(task.model_sha256) == 64
    assert task.bound_ns == answer.response_bound_ns > 0 and sum(task.segments_ns) == 10 * MS
    rules = [(item.id, item.rule) for item in trace.rationales]
    assert rules == [(answer.rationale.id, Rule.DEMAND_BOUND), (2, Rule.DEVICE_SPEED)]
    assert trace.facts["backend"] == "simulated" and '"camera"' in trace.config
    (job,) = trace.jobs.values()
    assert job.ending is Ending.FINISHED and job.decoded_ns == decoded_ns
    assert job.finished_ns < job.handed_ns < job.decoded_ns < job.published_ns
    assert split(trace, job).total_ns() == job.latency_ns
    assert job.stamped_ns == job.begin_ns == now + MS // 2 - 5 * MS
    assert job.deadline_ns == job.stamped_ns + task.deadline_ns
    assert split(trace, job).parts[0] == Part(PartKind.TRANSPORT, 5 * MS - MS // 2)
    assert dict(trace.digests) == {"camera": task.model_sha256}
    state, last = run_states(trace)
    assert 0 < state.arena_used_bytes <= state.arena_budget_bytes == spec.device.arena_bytes
    assert (state.clock_factor, state.temperature_c, state.throttled) == (0.9, 71.0, True)
    assert state.engine_pid > 0 and state.tasks == {"camera": "running"}
    assert state.waiting == {"lane0": 0} and state.shedding == ()
    assert last.frames == {"camera": Balance(received=1, results=1)}
    assert last.engine_pid == 0 and last.frames["camera"].in_flight == 0


def test_a_place_that_cannot_be_written_is_reported_and_the_robot_goes_on(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    spec = replace(house.spec, tasks=(house.task("camera"),))
    reported: list[Rationale] = []
    folder = tmp_path / "state"
    (folder / "nodes" / "orchestrator").mkdir(parents=True)
    (folder / "nodes" / "orchestrator" / "traces").write_text("a file where the folder should be")
    orchestrator = Orchestrator(
        replace(spec, trace=TraceSpec("run.mcap")),
        state_dir=folder,
        on_result=lambda _, result: result.release(),
        on_rationale=reported.append,
    )
    give_back_at_the_end(orchestrator.cleanup)
    (answer,) = orchestrator.configure()
    orchestrator.cleanup()
    assert answer.accepted
    assert any("this run is not traced" in item.sentence.lower() for item in reported)


def test_a_trace_knows_the_bounds_of_all_who_run_together(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    traced = replace(house.spec, tasks=(), trace=TraceSpec("run_%Y.mcap"))
    folder = tmp_path / "state"
    folder.mkdir()
    orchestrator = Orchestrator(
        traced, state_dir=folder, on_result=lambda _, result: result.release()
    )
    give_back_at_the_end(orchestrator.cleanup)
    orchestrator.configure()
    first = orchestrator.register(house.task("first"))
    second = orchestrator.register(house.task("second"))
    now = {task.spec.name: task.response_bound_ns for task in orchestrator.status().tasks}
    orchestrator.cleanup()
    (path,) = (folder / "nodes" / "orchestrator" / "traces").glob("run_2*.mcap")
    kept = read_trace(path).tasks
    assert kept[first.task_id].bound_ns == now["first"] > first.response_bound_ns
    assert kept[second.task_id].bound_ns == now["second"] == second.response_bound_ns
