"""Lanes on the CPU: one pinned thread each, that runs one work at a time.

When a work has ended its lane's thread reports that to the engine, and whatever the engine starts
then runs on that very thread: between two segments of a busy lane no thread has to be woken.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from aegis_ros.backends.base import Arrays, Completion, Ended, LoadedNetwork, Work
from aegis_ros.host import pinnable_cores
from aegis_ros.spec import LaneSpec

if TYPE_CHECKING:
    from aegis_ros.backends.trial import Runs

__all__ = [
    "PROCESSOR",
    "CpuLane",
    "OnCores",
    "Run",
    "describe_lanes",
    "lane_priorities",
    "open_lanes",
]

PROCESSOR = "caches and memory of the processor"
"""What lanes on CPU cores slow each other by (:attr:`Capabilities.contends`), of any runtime."""

Run = Callable[[Work, Completion], None]
"""Runs one work. Into its completion go the extents of the outputs where they are known only now,
and the outcome where the job's next step depends on it; the lane notes times and errors."""


class CpuLane:
    """Runs what it is handed, and reports its end.

    Args:
        lane: its name and the core to pin the thread to.
        run: runs one work, on the thread.
        ended: called on the thread when a work has ended; may call :meth:`start`.
        priority: SCHED_FIFO priority, 0 for none.
    """

    def __init__(self, lane: LaneSpec, run: Run, ended: Ended, priority: int) -> None:
        """Start the thread and wait until its affinity and priority are set."""
        self.permitted: list[str] = []
        self.refused: list[str] = []
        self._run_work = run
        self._ended = ended
        self._work: Work | None = None
        self._stopped = False
        self._began_ns = 0  # when the present work began, if that was before the thread had it
        # What `ended` started: the thread takes it without going to sleep first.
        self._next: Work | None = None
        # A bare lock as binary semaphore: one futex, where threading.Semaphore is Python code.
        self._go = threading.Lock()
        self._go.acquire()
        ready = threading.Event()
        self._thread = threading.Thread(
            target=self._run,
            args=(lane.cpu, priority, ready),
            name=f"lane-{lane.name}",
            daemon=True,
        )
        self._thread.start()
        ready.wait()
        self._ident = self._thread.ident

    def start(self, work: Work, began_ns: int = 0) -> None:
        """Hand over one work; the lane must be idle.

        Args:
            work: the work.
            began_ns: monotonic time at which the caller began it; 0 where the thread does.
        """
        self._began_ns = began_ns
        if threading.get_ident() == self._ident:
            self._next = work
            return
        self._work = work
        self._go.release()

    def is_current(self) -> bool:
        """Return whether the caller is this lane's thread."""
        return threading.get_ident() == self._ident

    def stop(self) -> None:
        """End the thread after its present work; a thread that hangs is left behind.

        A work that was handed over and has not begun is dropped.
        """
        self._stopped = True
        with suppress(RuntimeError):  # it was handed a work, has not woken up yet, and will
            self._go.release()
        self._thread.join(timeout=1.0)

    def _run(self, cpu: int | None, priority: int, ready: threading.Event) -> None:
        self._claim(cpu, priority)
        ready.set()
        completion = Completion()
        clock = time.monotonic_ns
        run = self._run_work
        while True:
            work = self._next
            self._next = None
            if work is None:
                self._go.acquire()
                if self._stopped:
                    return
                work, self._work = self._work, None
                assert work is not None
            completion.error = ""
            completion.shapes = completion.outcome = None
            completion.started_ns = self._began_ns or clock()
            try:
                run(work, completion)
            except Exception as caught:  # a network may fail in any way; its job reports it
                completion.error = f"{type(caught).__name__}: {caught}"[:300]
            completion.finished_ns = clock()
            token = work.token
            work = None  # nothing of the job may be kept alive by an idle lane
            self._ended(token, completion)

    def _claim(self, cpu: int | None, priority: int) -> None:
        thread = threading.get_native_id()
        if cpu is not None:
            try:
                os.sched_setaffinity(thread, {cpu})
                self.permitted.append(f"core {cpu}")
            except (OSError, ValueError) as error:
                self.refused.append(f"core {cpu} ({error})")
        if priority:
            try:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(priority))
                self.permitted.append(f"SCHED_FIFO {priority}")
            except (OSError, ValueError) as error:
                self.refused.append(f"SCHED_FIFO ({error})")


class OnCores:
    """What backends have in common that compute on the lanes' cores: lanes, and no copies.

    Frames are read where they lie, so that nothing is pinned or brought. Whoever derives from this
    may open its runtime in :meth:`open`, and run a work in another way than :meth:`run`.
    """

    def __init__(self) -> None:
        """Hold no lane yet."""
        self._lanes: list[CpuLane] = []

    def open(self, lanes: Sequence[LaneSpec], ended: Ended, priority: int) -> None:
        """Start one thread a lane."""
        self._lanes = open_lanes(lanes, self.run, ended, priority)

    def start(self, lane: int, work: Work) -> None:
        """Hand the work to the lane's thread."""
        self._lanes[lane].start(work)

    @staticmethod
    def run(work: Work, completion: Completion) -> None:
        """Run one segment of one network, on the lane's thread."""
        (part,) = work.parts
        network = cast("Runs", part.network)
        completion.shapes = network.run(work.step, part.inputs, part.outputs)

    def determinism(self) -> str:
        """Say what the lanes were permitted."""
        return describe_lanes(self._lanes)

    def close(self) -> None:
        """End the lanes' threads."""
        for lane in self._lanes:
            lane.stop()
        self._lanes = []

    def pin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Lock nothing."""

    def unpin(self, memory: npt.NDArray[np.uint8]) -> None:
        """Let nothing go."""

    def prefetch(self, network: LoadedNetwork, inputs: Arrays) -> bool:
        """Bring nothing."""
        return False


def lane_priorities(
    lanes: Sequence[LaneSpec], priority: int, cores: frozenset[int]
) -> tuple[int, ...]:
    """Return the SCHED_FIFO priority of each lane, so that one core stays free of such lanes.

    A lane computes for as long as its network takes. Were every core given to a lane above all
    normal threads, the sensors' drivers and the ROS node would starve; so lanes past the last
    core but one stay in the normal class.

    Args:
        lanes: as configured; a lane without a core counts as one core of its own.
        priority: priority wanted.
        cores: that the process has, with those that lanes are pinned to.
    """
    taken: set[int] = set()
    floating = 0
    given: list[int] = []
    for lane in lanes:
        pinned = lane.cpu is not None and lane.cpu in cores
        more = 0 if pinned and lane.cpu in taken else 1
        if len(taken) + floating + more >= len(cores):
            given.append(0)
            continue
        if pinned and lane.cpu is not None:
            taken.add(lane.cpu)
        else:
            floating += 1
        given.append(priority)
    return tuple(given)


def open_lanes(lanes: Sequence[LaneSpec], run: Run, ended: Ended, priority: int) -> list[CpuLane]:
    """Start one thread a lane."""
    wanted = {lane.cpu for lane in lanes if lane.cpu is not None}
    # Cores that were isolated for the lanes are not among those of the process.
    cores = frozenset(os.sched_getaffinity(0)) | (wanted & pinnable_cores() if wanted else set())
    priorities = lane_priorities(lanes, priority, cores)
    opened = []
    for lane, given in zip(lanes, priorities, strict=True):
        made = CpuLane(lane, run, ended, given)
        if priority and not given:
            made.refused.append(f"SCHED_FIFO for lane {lane.name} (one core must stay free)")
        opened.append(made)
    return opened


def describe_lanes(lanes: Sequence[CpuLane]) -> str:
    """Return a sentence on the affinity and priority of CPU lanes."""
    permitted = sorted({item for lane in lanes for item in lane.permitted})
    refused = sorted({item for lane in lanes for item in lane.refused})
    text = "lanes: " + (", ".join(permitted) if permitted else "no affinity, normal priority")
    return text + (f"; refused: {', '.join(refused)}" if refused else "")
