"""Times the recovery from SIGKILL of the engine on busy cores, with and without a standby engine.

    python -m benchmarks.recovery [--quick] [--kills 40] [--busy N] [--json FILE]

Three tasks with two real networks run at 20 Hz while a process for each core computes without a
pause. In turns of one run an engine process stands by or none does; each engine is killed a few
times at random moments, and timed until the first result of the most urgent task and until every
task has one again, of frames that came after the kill. With a standby, a kill waits until that has
imported what it needs, as it has on a robot two or three seconds after a loss. Every frame must
end once, as a result, skipped or lost: a run in which one does not fails.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aegis_ros.backends import CompiledNetwork
from aegis_ros.engine import (
    ChannelSpec,
    EngineClient,
    EngineEvent,
    JobResult,
    JobSkip,
    LoadSpec,
    SlotFrame,
)
from aegis_ros.spec import Criticality, DeviceSpec, FrameFormat, LaneSpec
from benchmarks.neighbours import Neighbours
from benchmarks.networks import FRAME, compiled_networks
from benchmarks.processes import start
from benchmarks.progress import progress, steps
from benchmarks.report import console, figure, parser, publish, read_options, table

_MS = 1_000_000
_PERIOD_S = 0.05
_DEADLINES_MS = (50, 100, 200)
_URGENT = 1  # id of the task with the shortest deadline
_KILLS_A_TURN = 5
_SETTLED_S = 2.5
_STILL_S = 0.5  # for which a process that is ready has not run
_PATIENCE_S = 60.0
_BUSY = "while True:\n    sum(range(1000))"


class Run:
    """An engine with three tasks, fed until it is closed.

    Args:
        networks: the fastest first.
        standby: whether a second engine process stands by.
        priority: SCHED_FIFO priority of the engine.
    """

    def __init__(self, networks: Sequence[CompiledNetwork], standby: bool, priority: int) -> None:
        """Start the engine and feed it."""
        self._lock = threading.Lock()
        self._sent: set[tuple[int, int]] = set()
        self._first_ns: dict[int, int] = {}  # when a task's first result since the kill came
        self._killed_ns = 0
        self._events: list[str] = []
        self._twice = 0
        self.frames = 0
        self.client = EngineClient(
            DeviceSpec(
                backend="onnxruntime",
                lanes=(LaneSpec("main", max(os.sched_getaffinity(0))),),
                realtime_priority=priority,
                standby=standby,
            ),
            on_result=self._result,
            on_skip=self._skip,
            on_event=self._event,
        )
        self.client.start()
        self._channel = self.client.open_channel(ChannelSpec("camera", FrameFormat.RGB8, FRAME, 12))
        small, large = networks
        self._tasks: list[int] = []
        for number, network in enumerate((small, small, large)):
            self.client.load(
                LoadSpec(
                    number + 1,
                    f"task {number + 1}",
                    network,
                    0,
                    "camera",
                    criticality=Criticality.HIGH,
                    deadline_ns=_DEADLINES_MS[number] * _MS,
                )
            )
            self._tasks.append(number + 1)
        self._end = threading.Event()
        self._feeding = threading.Thread(target=self._feed, daemon=True)
        self._feeding.start()

    def close(self) -> int:
        """End the engine; return how many frames did not end, or ended twice."""
        self._end.set()
        self._feeding.join()
        self.client.stop()
        return len(self._sent) + self._twice

    def kill(self) -> tuple[float, float]:
        """Kill the engine; return milliseconds to the first result of the urgent and of all tasks.

        Raises:
            SystemExit: a task gives no result any more.
        """
        pid = self.client.info().pid
        with self._lock:
            self._first_ns.clear()
            self._killed_ns = time.monotonic_ns()
        os.kill(pid, signal.SIGKILL)
        self._wait(lambda: len(self._first_ns) == len(self._tasks), "a task gives no result")
        first = {task: (at - self._killed_ns) / _MS for task, at in self._first_ns.items()}
        return first[_URGENT], max(first.values())

    def await_standby(self) -> float:
        """Wait until the standby is ready; return its memory in MiB."""
        self._wait(lambda: _is_still(self.client.status().standby_pid), "no engine stands by")
        return pss_mib(self.client.status().standby_pid)

    def _wait(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + _PATIENCE_S
        while not true():
            if time.monotonic() > end:
                reported = "; ".join(self._events[-3:]) or "the engine reported nothing"
                raise SystemExit(f"{what} within {_PATIENCE_S:.0f} s: {reported}")
            time.sleep(0.002)

    def _feed(self) -> None:
        seq = 0
        while not self._end.wait(_PERIOD_S):
            slot = self._channel.acquire()
            if slot is None:
                continue
            seq += 1
            now = time.monotonic_ns()
            jobs = [
                (task, seq, now, now + deadline * _MS)
                for task, deadline in zip(self._tasks, _DEADLINES_MS, strict=True)
            ]
            with self._lock:
                self._sent |= {job[:2] for job in jobs}
                self.frames += len(jobs)
            self.client.submit((SlotFrame(self._channel, slot, FRAME),), now, jobs)

    def _result(self, result: JobResult) -> None:
        with self._lock:
            if result.received_ns > self._killed_ns:
                self._first_ns.setdefault(result.task_id, time.monotonic_ns())
        result.release()
        self._ended(result.task_id, result.seq)

    def _skip(self, skip: JobSkip) -> None:
        self._ended(skip.task_id, skip.seq)

    def _event(self, event: EngineEvent) -> None:
        self._events.append(event.sentence)
        for task_id, seq in event.lost:
            self._ended(task_id, seq)

    def _ended(self, task_id: int, seq: int) -> None:
        with self._lock:
            self._twice += (task_id, seq) not in self._sent
            self._sent.discard((task_id, seq))


def _is_still(pid: int) -> bool:
    """Return whether a process sleeps, and has not run for a while."""
    before = _looked_at(pid)
    time.sleep(_STILL_S)
    return before[0] == "S" and before == _looked_at(pid)


def _looked_at(pid: int) -> tuple[str, ...]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ("",)
    return stat[0], stat[11], stat[12]  # state, user time, system time


def pss_mib(pid: int) -> float:
    """Return the proportional set size of a process: what it shares counts in part."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Have so many processes compute without a pause."""
    running = [start([sys.executable, "-S", "-c", _BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def turn(
    networks: Sequence[CompiledNetwork], standby: bool, kills: Iterator[object], priority: int
) -> tuple[dict[str, list[float]], int]:
    """Return the milliseconds and MiB of a few kills of one engine, and how many frames it had.

    Raises:
        SystemExit: a frame did not end, or a task gave no result.
    """
    found: dict[str, list[float]] = {"urgent": [], "all": [], "standby": []}
    run = Run(networks, standby, priority)
    try:
        for _ in zip(range(_KILLS_A_TURN), kills, strict=False):
            time.sleep(_SETTLED_S + random.random())
            if standby:
                found["standby"].append(run.await_standby())
            urgent, every = run.kill()
            found["urgent"].append(urgent)
            found["all"].append(every)
    finally:
        unaccounted = run.close()
    if unaccounted:
        raise SystemExit(f"{unaccounted} of {run.frames} frames did not end, or ended twice")
    return found, run.frames


def main() -> None:
    """Run all turns and print a table."""
    cores = len(os.sched_getaffinity(0))
    arguments = parser("benchmarks.recovery", __doc__)
    arguments.add_argument("--kills", type=int, default=40, help="with and without a standby (40)")
    arguments.add_argument(
        "--busy", type=int, default=cores, help=f"processes that compute (one a core: {cores})"
    )
    arguments.add_argument("--priority", type=int, default=40, help="SCHED_FIFO of the engine (40)")
    options = read_options(arguments, {"kills": 10})
    samples: dict[bool, dict[str, list[float]]] = {True: {}, False: {}}
    frames = 0
    others = Neighbours()
    with tempfile.TemporaryDirectory() as folder, progress() as shown:
        shown.add_task("preparing two networks")
        networks = compiled_networks(Path(folder))
        with busy(options.busy):
            left = {
                True: steps(shown, range(options.kills), "with a standby"),
                False: steps(shown, range(options.kills), "without"),
            }
            for _ in range(-(-options.kills // _KILLS_A_TURN)):
                for standby, kills in left.items():
                    found, fed = turn(networks, standby, kills, options.priority)
                    frames += fed
                    for name, values in found.items():
                        samples[standby].setdefault(name, []).extend(values)
    rows = []
    for standby, name in ((True, "with a standby"), (False, "without a standby")):
        of = samples[standby]
        rows += [
            figure(f"{name}: SIGKILL to the first result of the urgent task", "ms", of["urgent"]),
            figure(f"{name}: SIGKILL until every task has a result", "ms", of["all"]),
        ]
    rows.append(figure("memory of the standby, PSS", "MiB", samples[True]["standby"]))
    shown_rows = table("recovery", "what", "unit", "count", "p50", "p99", "max")
    for row in rows:
        cells = ("" if each is None else f"{each:.0f}" for each in (row.p50, row.p99, row.max))
        shown_rows.add_row(row.name, row.unit, str(row.count), *cells)
    console().print(shown_rows)
    share = others.share()
    console().print(
        f"{options.busy} processes computed without a pause; other programs used {share:.2f} "
        f"cores; {frames} frames, each ended once"
    )
    publish(
        "benchmarks.recovery",
        options.json,
        rows,
        {
            "facts": {
                "busy_processes": options.busy,
                "cores_used_by_others": share,
                "frames": frames,
            }
        },
    )


if __name__ == "__main__":
    main()
