"""Times the engine: lateness of a dispatch, overhead of a job, recovery from SIGKILL.

    python -m benchmarks.engine [--quick] [--seconds 20] [--kills 10] [--json FILE]

A dispatch is late by the time from when its job was released and its lane free to its start. That
is taken in one run with a worker thread of the same process, which a synthetic load keeps busy the
way a ROS node with three 720p cameras at 20 Hz is: threads that copy a frame and then run Python
for some milliseconds. Both are released by the same ticks, in alternating order. The engine's
network has four segments, so that the time between two of them is seen, too.
"""

from __future__ import annotations

import array
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aegis_ros.backends import CompiledNetwork
from aegis_ros.engine import (
    Channel,
    ChannelSpec,
    EngineClient,
    JobResult,
    LoadSpec,
    SlotFrame,
)
from aegis_ros.memory import Footprint
from aegis_ros.network import NetworkInput
from aegis_ros.spec import DeviceSpec, FrameFormat, LaneSpec
from benchmarks.neighbours import Neighbours
from benchmarks.networks import FRAME, compiled_networks
from benchmarks.progress import Shown, progress, steps
from benchmarks.report import console, figure, parser, publish, read_options, table

_MS = 1_000_000
_KILLS_OF_ONE_ENGINE = 2  # a third would quarantine the network that ran
_RECOVERY_S = 30.0  # after which it has failed


class Load:
    """Threads that keep this process as busy as a node with cameras is.

    Args:
        cameras: number of threads, at 20 Hz each.
        python_ms: pure Python a frame, milliseconds.
    """

    def __init__(self, cameras: int, python_ms: float) -> None:
        """Start the threads."""
        self._end = threading.Event()
        self._raw = bytes(int(np.prod(FRAME)))
        self._python_s = python_ms / 1e3
        for _ in range(cameras):
            threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """End the threads."""
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(0.05):
            array.array("B", self._raw)  # the interpreter lock is held meanwhile
            until = time.perf_counter() + self._python_s
            while time.perf_counter() < until:
                pass


class Feed:
    """An engine with one channel.

    Attributes:
        events: what the engine reported, the newest last.
    """

    def __init__(self, backend: str, priority: int, on_result: Callable[[JobResult], None]) -> None:
        """Start the engine and note how long that took."""
        self.events: list[str] = []
        self.device = DeviceSpec(
            backend=backend,
            lanes=(LaneSpec("main", max(os.sched_getaffinity(0))),),
            realtime_priority=priority,
        )
        self.client = EngineClient(
            self.device,
            on_result=on_result,
            on_skip=lambda *skip: None,
            on_event=lambda event: self.events.append(event.sentence),
        )
        begin = time.monotonic()
        self.info = self.client.start()
        self.start_s = time.monotonic() - begin
        self.channel: Channel = self.client.open_channel(
            ChannelSpec("camera", FrameFormat.RGB8, FRAME, 4)
        )
        self.seq = 0

    def submit(self, task_ids: Sequence[int]) -> None:
        """Submit one 720p frame as it lies, if a slot is free."""
        slot = self.channel.acquire()
        if slot is None:
            return
        self.seq += 1
        now = time.monotonic_ns()
        jobs = [(task, self.seq, now, now + 100 * _MS) for task in task_ids]
        self.client.submit((SlotFrame(self.channel, slot, FRAME),), now, jobs)


def simulated(*segment_ns: int) -> CompiledNetwork:
    """Return a network whose segments take so long and compute nothing."""
    from aegis_ros.backends.testing.simulated import lasting
    from aegis_ros.network import TensorInfo

    return CompiledNetwork(
        backend="simulated",
        key="",
        paths=lasting("simulated", *segment_ns),
        inputs=(
            NetworkInput(TensorInfo("frame", "uint8", ("h", "w", 3)), FrameFormat.RGB8, FRAME),
        ),
        outputs=(TensorInfo("values", "float32", (4,)),),
        footprint=Footprint(),
    )


def lateness(
    seconds: float, cameras: int, python_ms: float, priority: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Return microseconds late, for the engine and for a thread here, released by equal ticks."""
    engine: list[tuple[int, int, int]] = []
    thread: list[int] = []
    work: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    segments = (100_000,) * 4
    free_ns = 0

    def note(result: JobResult) -> None:
        nonlocal free_ns
        started = result.started_ns
        gaps = result.finished_ns - started - result.execution_ns
        engine.append(
            (
                started - max(result.released_ns, free_ns),
                started - max(result.received_ns, free_ns),
                gaps // (len(segments) - 1),
            )
        )
        free_ns = result.finished_ns
        result.release()

    def serve() -> None:
        while (released := work.get()) is not None:
            thread.append(time.monotonic_ns() - released)

    threading.Thread(target=serve, daemon=True).start()
    feed = Feed("simulated", priority, note)
    feed.client.load(LoadSpec(1, "probe", simulated(*segments), 0, "camera"))
    load = Load(cameras, python_ms)
    try:
        _tick(seconds, 0.005, lambda: feed.submit([1]), lambda: work.put(time.monotonic_ns()))
    finally:
        load.stop()
        feed.client.stop()
        work.put(None)
    inside = np.asarray(engine, np.float64)
    return {
        "engine: release to start": inside[:, 0] / 1e3,
        "engine: submit to start": inside[:, 1] / 1e3,
        "engine: between two segments": inside[:, 2] / 1e3,
        "thread in this process: put to start": np.asarray(thread, np.float64) / 1e3,
    }


def _tick(seconds: float, period_s: float, *actions: Callable[[], None]) -> None:
    """Do all actions every period, in turning order."""
    end = time.monotonic() + seconds
    due = time.monotonic()
    first = 0
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        for index in range(len(actions)):
            actions[(first + index) % len(actions)]()
        first += 1
        # A tick that came late must not make the next ones queue up behind it.
        due = max(due + period_s, time.monotonic())


def overhead(
    seconds: float, networks: Sequence[CompiledNetwork], priority: int
) -> tuple[dict[str, npt.NDArray[np.float64]], dict[str, float]]:
    """Return microseconds from submit to callback beyond execution, alone; and facts."""
    extra: list[int] = []
    execution: list[int] = []

    def note(result: JobResult) -> None:
        extra.append(time.monotonic_ns() - result.received_ns - result.execution_ns)
        execution.append(result.execution_ns)
        result.release()

    feed = Feed("onnxruntime", priority, note)
    begin = time.monotonic()
    feed.client.load(LoadSpec(1, "network", networks[0], 0, "camera"))
    load_s = time.monotonic() - begin
    try:
        _tick(seconds, 1 / 30, lambda: feed.submit([1]))
        time.sleep(0.2)
        with open(f"/proc/{feed.info.pid}/statm") as pages:
            resident = int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    finally:
        feed.client.stop()
    facts = {
        "engine_start_ms": feed.start_s * 1e3,
        "load_ms": load_s * 1e3,
        "engine_resident_mib": resident / 2**20,
        "execution_p50_ms": float(np.percentile(execution, 50)) / 1e6,
    }
    return {"submit to callback, less execution": np.asarray(extra, np.float64) / 1e3}, facts


def recovery(
    kills: int, networks: Sequence[CompiledNetwork], priority: int, shown: Shown
) -> npt.NDArray[np.float64]:
    """Return milliseconds from SIGKILL of the busy engine to the first result after it.

    Raises:
        SystemExit: an engine gives no result any more.
    """
    heard = threading.Event()
    killed = [0]
    first = [0]

    def note(result: JobResult) -> None:
        if result.received_ns > killed[0] and not heard.is_set():
            first[0] = time.monotonic_ns()
            heard.set()
        result.release()

    samples: list[float] = []
    left = steps(shown, range(kills), "recovery from SIGKILL")
    while len(samples) < kills:
        feed = Feed("onnxruntime", priority, note)
        for index, network in enumerate(networks):
            feed.client.load(LoadSpec(1 + index, f"network {index}", network, 0, "camera"))
        tasks = [1 + index for index in range(len(networks))]
        try:
            for _ in zip(range(_KILLS_OF_ONE_ENGINE), left, strict=False):
                _tick(0.5, 0.02, partial(feed.submit, tasks))
                pid = feed.client.info().pid
                heard.clear()
                killed[0] = time.monotonic_ns()
                os.kill(pid, signal.SIGKILL)
                while not heard.is_set():
                    feed.submit(tasks)
                    heard.wait(0.01)
                    if time.monotonic_ns() - killed[0] > _RECOVERY_S * 1e9:
                        reported = "; ".join(feed.events[-3:]) or "the engine reported nothing"
                        raise SystemExit(
                            f"no result within {_RECOVERY_S:.0f} s after SIGKILL: {reported}"
                        )
                samples.append((first[0] - killed[0]) / 1e6)
        finally:
            feed.client.stop()
    return np.asarray(samples)


def main() -> None:
    """Run all and print a table."""
    arguments = parser("benchmarks.engine", __doc__)
    arguments.add_argument("--seconds", type=float, default=20.0, help="of each timing (20)")
    arguments.add_argument("--kills", type=int, default=10, help="how often SIGKILL is sent (10)")
    arguments.add_argument("--cameras", type=int, default=3, help="threads of the load (3)")
    arguments.add_argument("--python-ms", type=float, default=5.0, help="Python a frame (5)")
    arguments.add_argument("--priority", type=int, default=40, help="SCHED_FIFO of the engine (40)")
    options = read_options(arguments, {"seconds": 8.0, "kills": 4})
    others = Neighbours()
    with tempfile.TemporaryDirectory() as folder, progress() as shown:
        shown.add_task(f"lateness of a dispatch, {options.seconds:g} s")
        late = lateness(options.seconds, options.cameras, options.python_ms, options.priority)
        shown.add_task("preparing two networks")
        networks = compiled_networks(Path(folder))
        shown.add_task(f"overhead of a job, {options.seconds:g} s")
        extra, facts = overhead(options.seconds, networks, options.priority)
        times = recovery(options.kills, networks, options.priority, shown)
    rows = [figure(name, "us", values) for name, values in (late | extra).items()]
    rows.append(figure("SIGKILL to first result", "ms", times))
    shown_rows = table("engine", "name", "unit", "count", "p50", "p99", "max")
    for row in rows:
        values = ("" if each is None else f"{each:.1f}" for each in (row.p50, row.p99, row.max))
        shown_rows.add_row(row.name, row.unit, str(row.count), *values)
    console().print(shown_rows)
    thread, engine = (
        np.percentile(late[name], 99)
        for name in ("thread in this process: put to start", "engine: submit to start")
    )
    publish(
        "benchmarks.engine",
        options.json,
        rows,
        {
            "facts": facts | {"cores_used_by_others": others.share()},
            "thread_over_engine_p99": float(thread / engine),
        },
    )


if __name__ == "__main__":
    main()
