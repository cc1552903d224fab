"""Cameras in this process: frames at exact periods, and what became of each."""

from __future__ import annotations

import heapq
import os
import threading
import time
from array import array
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from aegis_ros.engine import JobResult
from benchmarks.compare.rounds import TaskRound
from benchmarks.compare.workload import Task

__all__ = ["Book", "Cameras"]

Send = Callable[[Task, int], None]


class Book:
    """What was sent and what came back; written by two threads, each to lists of its own.

    Args:
        tasks: whose frames are counted.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Begin empty."""
        self._tasks = tuple(tasks)
        self.stamps: dict[str, array[int]] = {task.name: array("q") for task in tasks}
        self._rows: dict[str, array[int]] = {task.name: array("q") for task in tasks}

    def result(self, result: JobResult) -> None:
        """Note a result, whose origin is (name of the task, stamp of the frame); hand it back."""
        now = time.monotonic_ns()
        assert isinstance(result.origin, tuple)
        name, stamp = result.origin
        self._rows[name].extend(
            (
                stamp,
                result.released_ns,
                result.started_ns,
                result.finished_ns,
                result.execution_ns,
                now,
            )
        )
        result.release()

    def rounds(
        self, begin_ns: int, end_ns: int, lane_of: Mapping[str, str]
    ) -> dict[str, TaskRound]:
        """Return what every task got of the frames stamped within a time.

        Args:
            begin_ns: where it begins (monotonic).
            end_ns: where it ends.
            lane_of: by task, the lane it runs on.
        """
        found = {}
        for task in self._tasks:
            rows = self._within(task.name, begin_ns, end_ns)
            found[task.name] = one = self._of(task.name, rows, begin_ns, end_ns)
            stamp, released, started, finished = rows.T[:4]
            one.ended_ms, one.ready_ms = (finished - stamp) / 1e6, (released - stamp) / 1e6
            one.released_ns, one.started_ns, one.finished_ns = released, started, finished
            one.lane = lane_of.get(task.name, "")
        return found

    def _within(self, name: str, begin_ns: int, end_ns: int) -> npt.NDArray[np.int64]:
        rows = np.array(self._rows[name], np.int64).reshape(-1, 6)
        return rows[(rows[:, 0] >= begin_ns) & (rows[:, 0] < end_ns)]

    def _of(self, name: str, rows: npt.NDArray[np.int64], begin_ns: int, end_ns: int) -> TaskRound:
        stamps = np.array(self.stamps[name], np.int64)
        within = int(np.sum((stamps >= begin_ns) & (stamps < end_ns)))
        stamp, _, _, _, execution, delivered = rows.T
        return TaskRound(
            within, within - len(rows), 0, 0, (delivered - stamp) / 1e6, execution / 1e6
        )


class Cameras:
    """Send a frame of every task once a period until the block ends; phases are drawn once.

    Args:
        tasks: that are fed.
        book: where stamps are kept.
        send: hands a task's frame over, stamped (monotonic nanoseconds).
        cores: processor cores to send from; empty for any.
        seed: of the phases.
    """

    def __init__(
        self, tasks: Sequence[Task], book: Book, send: Send, *, cores: Sequence[int], seed: int
    ) -> None:
        """Send nothing yet."""
        self._tasks = tasks
        self._book = book
        self._send = send
        self._cores = cores
        self._seed = seed
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cameras", daemon=True)
        self.problem: BaseException | None = None

    def __enter__(self) -> Cameras:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop.

        Raises:
            SystemExit: sending had ended with an error.
        """
        self._end.set()
        self._thread.join()
        if self.problem is not None:
            raise SystemExit(f"the cameras stopped: {self.problem!r}")

    def _run(self) -> None:
        try:
            if self._cores:
                os.sched_setaffinity(threading.get_native_id(), self._cores)
            self._feed()
        except BaseException as error:
            self.problem = error

    def _feed(self) -> None:
        chance = np.random.default_rng(self._seed)
        now = time.monotonic_ns()
        due = [
            (now + int(chance.random() * task.period_ms * 1e6), at)
            for at, task in enumerate(self._tasks)
        ]
        heapq.heapify(due)
        while not self._end.is_set():
            when, at = due[0]
            wait_ns = when - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(min(wait_ns / 1e9, 0.05))
                continue
            task = self._tasks[at]
            heapq.heapreplace(due, (when + round(task.period_ms * 1e6), at))
            # Stamped with when it was due: what this thread is late by is part of the response.
            self._book.stamps[task.name].append(when)
            self._send(task, when)
