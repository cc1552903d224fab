"""What a job costs beside the time of the GPU, for each way in which a lane can wait.

First on one thread without an engine, so that only the driver and the backend count; then through
an engine whose lane has a core to itself: jobs far apart, and jobs one behind the other. Ways take
turns. Networks run alone. What the GPU itself needs for a job is measured with many jobs put on a
stream at once, for the last of which alone somebody waits.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from aegis_ros.backends import Backend, CompiledNetwork, capabilities_of, create_backend
from aegis_ros.backends.cuda.backend import CudaBackend
from aegis_ros.backends.cuda.network import GpuNetwork
from aegis_ros.backends.cuda.waiting import Past, Waiting
from aegis_ros.engine import ChannelSpec, EngineClient, JobResult, LoadSpec, SlotFrame
from aegis_ros.spec import FrameFormat, LaneSpec, Wait
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.device import engine_on
from benchmarks.report import percentiles, table

__all__ = ["job_costs", "of_engine", "of_thread", "show_job_costs"]

Rows = list[dict[str, Any]]

_WHOLE = 3  # networks, those that take the least
_JOBS = 200  # of each network and way, far apart and one behind the other
_BLOCK = 100  # runs of one way before the next has its turn
_BLOCKS = 4
_PILED = 50  # jobs on a stream at once
_APART_S = 0.003
_IN_FLIGHT = 2  # one runs, one waits
_TIMEOUT_S = 30.0
_GOAL = 0.02


def job_costs(
    bench: Bench,
    whole: Mapping[str, CompiledNetwork],
    cut: Mapping[str, CompiledNetwork],
    rounds: int,
) -> Iterator[tuple[str, Callable[[], Rows]]]:
    """Return the parts of this measurement: what each is called, and what measures it.

    Args:
        bench: device.
        whole: networks in one segment.
        cut: networks in several; that which takes the least is measured, too.
        rounds: turns of each way in the engine.
    """
    name = str(bench.workload.device["backend"])
    small = sorted(whole, key=lambda each: whole[each].footprint.total)[:_WHOLE]
    networks = {each: whole[each] for each in small}
    networks |= {f"{each} cut": cut[each] for each in small[:1] if each in cut}
    ways = list(Wait) if capabilities_of(name).waits else [Wait.SLEEP]
    device_us: dict[str, float] = {}
    if len(ways) > 1:
        for each, compiled in networks.items():

            def in_thread(label: str = each, network: CompiledNetwork = compiled) -> Rows:
                rows = of_thread(create_backend(name), label, network)
                device_us[label] = rows[0]["device_us"]
                return rows

            yield f"what a job of {each} costs one thread", in_thread
    for number in range(rounds):
        first = number % len(ways)
        for way in (*ways[first:], *ways[:first]):

            def in_engine(wait: Wait = way, turn: int = number) -> Rows:
                return of_engine(bench, networks, wait, turn=turn, device_us=device_us)

            yield f"what a job costs in the engine, wait: {way}, turn {number + 1}", in_engine


# -- on one thread ----------------------------------------------------------------------------


class _Unwaited:
    """Waits for nothing: what comes next is put behind what there is."""

    def behind(self, stream: int, past: Past) -> None:
        """Return at once."""


def of_thread(backend: Backend, label: str, compiled: CompiledNetwork) -> Rows:
    """Return for each way what a job takes beyond the time of the GPU, and of a core.

    Args:
        backend: computes on a GPU; opened and closed here.
        label: of the network.
        compiled: the network.
    """
    assert isinstance(backend, CudaBackend)
    lanes = [LaneSpec(str(way), wait=way) for way in Wait]
    backend.open(lanes, lambda token, done: None, 0)
    try:
        network = backend.load(compiled, 0)
        assert isinstance(network, GpuNetwork)
        ways = {way: lane.waiting for way, lane in zip(Wait, backend.lanes, strict=True)}
        frame = np.zeros(compiled.max_shape, compiled.frame_input.dtype)
        backend.pin(frame.reshape(-1).view(np.uint8))
        outputs = network.output_arrays()

        def job() -> None:
            for step in range(network.segments):
                network.run(step, frame, outputs)

        device_us = _device_us(network, ways[Wait.SLEEP], job)
        took: dict[Wait, list[float]] = {way: [] for way in Wait}
        core_ns = dict.fromkeys(Wait, 0)
        for block in range(_BLOCKS + 1):
            for way, waiting in ways.items():
                network.lane.waiting = waiting
                core = time.thread_time_ns()
                times = [_taken_us(job) for _ in range(_BLOCK)]
                if block:  # in the first one, `auto` finds out how long a segment takes
                    core_ns[way] += time.thread_time_ns() - core
                    took[way] += times
        return [
            {
                "part": "thread",
                "network": label,
                "segments": network.segments,
                "way": str(way),
                "device_us": device_us,
                "beyond_us": percentiles(np.array(took[way]) - device_us),
                "core": core_ns[way] / 1e3 / sum(took[way]),
            }
            for way in Wait
        ]
    finally:
        backend.close()


def _device_us(network: GpuNetwork, waiting: Waiting, job: Callable[[], None]) -> float:
    """Return what the GPU needs for a job when it never has to wait for the host."""
    samples = []
    for _ in range(5):
        network.lane.waiting = waiting
        job()
        network.lane.waiting = _Unwaited()
        begin = time.perf_counter_ns()
        for _ in range(_PILED - 1):
            job()
        network.lane.waiting = waiting
        job()
        samples.append((time.perf_counter_ns() - begin) / 1e3 / _PILED)
    return float(np.median(samples))


def _taken_us(job: Callable[[], None]) -> float:
    begin = time.perf_counter_ns()
    job()
    return (time.perf_counter_ns() - begin) / 1e3


# -- through the engine -----------------------------------------------------------------------


class _Results:
    """Results of an engine's jobs, one after the other."""

    def __init__(self) -> None:
        self.done: list[JobResult] = []
        self._more = threading.Semaphore(0)

    def take(self, result: JobResult) -> None:
        """Keep the times of a result; for the engine."""
        result.release()
        self.done.append(result)
        self._more.release()

    def wait(self) -> None:
        """Wait until one more has come."""
        if not self._more.acquire(timeout=_TIMEOUT_S):
            raise SystemExit(f"no result within {_TIMEOUT_S:.0f} s")


class _Task:
    """One network in the engine, and the frames sent to it."""

    def __init__(self, engine: EngineClient, number: int, label: str, network: Any) -> None:
        self._engine = engine
        self._number = number
        self._shape = network.max_shape
        self._seq = 0
        self._channel = engine.open_channel(
            ChannelSpec(label, FrameFormat.RGB8, self._shape, _IN_FLIGHT + 2)
        )
        engine.load(LoadSpec(number, label, network, 0, label))

    def send(self) -> None:
        """Hand over a frame."""
        slot = self._channel.acquire()
        assert slot is not None, "the jobs before still hold their frames"
        frames = (SlotFrame(self._channel, slot, self._shape),)
        now = time.monotonic_ns()
        self._engine.submit(frames, now, [(self._number, self._seq, now, 2**62)])
        self._seq += 1


def of_engine(
    bench: Bench,
    networks: Mapping[str, CompiledNetwork],
    way: Wait,
    *,
    turn: int,
    device_us: Mapping[str, float],
) -> Rows:
    """Return what jobs of each network cost in an engine whose lane waits in one way.

    Args:
        bench: device.
        networks: by label; each runs alone.
        way: how the lane waits.
        turn: number of this turn.
        device_us: what the GPU needs for a job of each network, where that is known.
    """
    cores = sorted(os.sched_getaffinity(0))
    core = bench.workload.core
    if core is None and len(cores) > 1:
        core = cores[-1]
    waits = capabilities_of(str(bench.workload.device["backend"])).waits
    lane = LaneSpec("main", core, wait=way if waits else None)
    results = _Results()
    rows: Rows = []
    with engine_on(bench, [lane], results.take) as engine, _off(core):
        pid = engine.info().pid
        for number, (label, compiled) in enumerate(networks.items()):
            task = _Task(engine, number, label, compiled)
            _one_by_one(task, results, _BLOCK)  # `auto` finds out how long a segment takes
            results.done.clear()
            used = _Used(pid, core)
            _one_by_one(task, results, _JOBS, apart_s=_APART_S)
            apart = _apart(results.done) | {"core_apart": used.share()}
            results.done.clear()
            used = _Used(pid, core)
            _behind_each_other(task, results, _JOBS)
            behind = _behind(results.done, device_us.get(label)) | {"core_behind": used.share()}
            head = {"part": "engine", "network": label, "segments": compiled.segments}
            rows.append(head | {"way": str(way), "turn": turn} | apart | behind)
    return rows


def _one_by_one(task: _Task, results: _Results, jobs: int, apart_s: float = 0.0) -> None:
    """Send each frame when the result of the one before has come, and some time has passed."""
    for _ in range(jobs):
        task.send()
        results.wait()
        time.sleep(apart_s)


def _behind_each_other(task: _Task, results: _Results, jobs: int) -> None:
    """Have one job wait while one runs."""
    for number in range(jobs):
        task.send()
        if number >= _IN_FLIGHT - 1:
            results.wait()
    for _ in range(_IN_FLIGHT - 1):
        results.wait()


def _apart(done: Sequence[JobResult]) -> dict[str, Any]:
    """Return figures of jobs each of which found the lane free."""
    jobs = _times(done)
    return {
        "release_to_start_us": percentiles((jobs["started"] - jobs["released"]) / 1e3),
        "sent_to_end_us": percentiles((jobs["finished"] - jobs["received"]) / 1e3),
    }


def _behind(done: Sequence[JobResult], device_us: float | None) -> dict[str, Any]:
    """Return figures of jobs each of which waited for the one before."""
    jobs = _times(done)
    cycle_us = np.diff(jobs["finished"]) / 1e3
    found: dict[str, Any] = {
        "end_to_next_start_us": percentiles((jobs["started"][1:] - jobs["finished"][:-1]) / 1e3),
        "cycle_us": percentiles(cycle_us),
        "within_us": percentiles(
            (jobs["finished"] - jobs["started"] - jobs["execution"]) / 1e3
        ),  # between segments
    }
    if device_us is not None:
        found["device_us"] = device_us
        # From the end on the GPU over wake-up, decision and submission to the next begin there.
        found["gpu_idle_us"] = percentiles(cycle_us - device_us)
        found["lost"] = float(1.0 - device_us / cycle_us.mean())
    return found


def _times(done: Sequence[JobResult]) -> dict[str, np.ndarray]:
    rows = np.array(
        [
            (job.received_ns, job.released_ns, job.started_ns, job.finished_ns, job.execution_ns)
            for job in sorted(done, key=lambda each: each.finished_ns)
        ],
        np.int64,
    )
    return dict(
        zip(("received", "released", "started", "finished", "execution"), rows.T, strict=True)
    )


class _Used:
    """What a lane's thread uses of its core, from now on."""

    def __init__(self, pid: int, core: int | None) -> None:
        self._where = pid, core
        self._begin = time.monotonic_ns(), _lane_ns(pid, core)

    def share(self) -> float | None:
        """Return the share so far; ``None`` where nobody counts."""
        begin, before = self._begin
        now, used = time.monotonic_ns(), _lane_ns(*self._where)
        return None if before is None or used is None else (used - before) / (now - begin)


def _lane_ns(pid: int, core: int | None) -> int | None:
    """Return what threads that have a core for themselves have used of it; ``None`` if unknown."""
    found = None
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError, ValueError):  # a thread that ends, a kernel that does not count
            if core is not None and os.sched_getaffinity(int(task.name)) == {core}:
                found = (found or 0) + int((task / "schedstat").read_text().split()[0])
    return found


@contextmanager
def _off(core: int | None) -> Iterator[None]:
    """Keep this process's threads off the lane's core, if any other is left."""
    before = os.sched_getaffinity(0)
    others = before - {core}
    if core is None or not others:
        yield
        return
    _move(others)
    try:
        yield
    finally:
        _move(before)


def _move(cores: set[int]) -> None:
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


# -- shown ------------------------------------------------------------------------------------


def show_job_costs(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print both tables, and whether the goal for lane time lost is reached in each way."""
    thread = table(
        "beyond the time of the GPU, one thread without an engine",
        *("network", "segments", "wait", "GPU us", "p50 us", "p99 us", "core"),
    )
    engine = table(
        "through the engine; networks alone, the lane on a core of its own",
        *("network", "wait", "turn", "release to start us p50", "p99", "end to start us p50"),
        *("p99", "GPU idle us p50", "p99", "lost", "between segments us p50", "core"),
    )
    lost: dict[str, list[float]] = {}
    for row in rows:
        if row["part"] == "thread":
            beyond = row["beyond_us"]
            figures = (row["device_us"], beyond["p50"], beyond["p99"])
            thread.add_row(
                *(str(row["network"]), str(row["segments"]), str(row["way"])),
                *(f"{each:.0f}" for each in figures),
                f"{row['core']:.0%}",
            )
            continue
        pairs = (row[name] for name in ("release_to_start_us", "end_to_next_start_us"))
        idle = row.get("gpu_idle_us")
        gaps = max(1, row["segments"] - 1)
        used = row["core_behind"]
        engine.add_row(
            *(str(row["network"]), str(row["way"]), str(row["turn"] + 1)),
            *(f"{pair[each]:.0f}" for pair in pairs for each in ("p50", "p99")),
            *(f"{idle[each]:.0f}" if idle else "-" for each in ("p50", "p99")),
            f"{row['lost']:.1%}" if idle else "-",
            f"{row['within_us']['p50'] / gaps:.0f}" if row["segments"] > 1 else "-",
            "-" if used is None else f"{used:.0%}",
        )
        if idle and row["segments"] == 1:
            lost.setdefault(str(row["way"]), []).append(row["lost"])
    for shown in (thread, engine):
        if shown.row_count:
            console.print(shown)
    for way, shares in lost.items():
        worst = max(shares)
        met = "yes" if worst < _GOAL else "no"
        console.print(f"lane time lost < {_GOAL:.0%} with wait: {way}: {met} (at most {worst:.1%})")
