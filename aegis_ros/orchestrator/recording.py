"""Keeps the trace of a running engine in files, on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from aegis_ros.engine.memory import SharedMemory
from aegis_ros.rationale import Rationale
from aegis_ros.trace import RECORD, RecordKind, RingReader, ring_bytes
from aegis_ros.trace.history import TracedTask
from aegis_ros.trace.mcap_file import TraceFile

__all__ = ["TraceRecorder"]

# A second of ten thousand jobs, should this process stand still for so long.
_RING_BYTES = ring_bytes(1 << 16)
_INTERVAL_S = 0.1
_MOST_WAITING = 100_000

_log = logging.getLogger(__name__)


class TraceRecorder:
    """Drains the ring that the engine writes to, and adds what the node knows.

    All methods may be called from any thread and never wait for a disk. A file that can no longer
    be written is told once; the robot goes on without a trace.

    Args:
        file: where it goes; closed by :meth:`close`.
        on_problem: told once why nothing more is recorded.

    Attributes:
        memory: the ring, to be given to the engine's client.
    """

    def __init__(
        self,
        file: TraceFile,
        on_problem: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """Begin to record."""
        self._file = file
        self.memory = SharedMemory(_RING_BYTES)
        self._reader = RingReader(self.memory.bytes.data)
        self._lost = 0  # as the file says
        self._on_problem = on_problem
        self._waiting: deque[Callable[[], None]] = deque(maxlen=_MOST_WAITING)
        self._serial = 0
        self._failed = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def task(self, task: TracedTask) -> None:
        """Note the contract of a task."""
        self._waiting.append(lambda: self._file.add_task(task))

    def rationale(self, rationale: Rationale) -> None:
        """Note a decision."""
        self._waiting.append(lambda: self._file.add_rationale(rationale))

    def state(self, state: Mapping[str, Any]) -> None:
        """Note what arena, engine and device are like now."""
        now = time.monotonic_ns()
        self._waiting.append(lambda: self._file.add_state(now, state))

    def published(
        self, task_id: int, seq: int, handed_ns: int, decoded_ns: int, published_ns: int
    ) -> None:
        """Note that a result left for its readers; monotonic nanoseconds.

        Args:
            task_id: number of the task.
            seq: number of the job.
            handed_ns: when the engine's client handed the result out.
            decoded_ns: when it was decoded.
            published_ns: when it was published.
        """
        values = [handed_ns, decoded_ns, 0, 0]
        self._waiting.append(
            lambda: self._add(RecordKind.PUBLISHED, published_ns, task_id, seq, values)
        )

    def lost(self, jobs: Iterable[tuple[int, int]]) -> None:
        """Note the jobs (task, number) that went with an engine."""
        now = time.monotonic_ns()
        for task_id, seq in tuple(jobs):
            self._waiting.append(
                lambda task_id=task_id, seq=seq: self._add(  # type: ignore[misc]
                    RecordKind.LOST, now, task_id, seq, [0, 0, 0, 0]
                )
            )

    def close(self) -> None:
        """Write what is left and close the file; to be called after the engine has ended."""
        self._ended.set()
        self._thread.join()
        self.memory.close()

    def _run(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self._attempt(self._drain)
        self._attempt(self._drain)
        self._attempt(self._file.close)

    def _attempt(self, step: Callable[[], None]) -> None:
        if self._failed:
            self._waiting.clear()
            return
        try:
            step()
        except Exception as error:  # a trace must never be what stops a robot
            self._failed = True
            _log.exception("the trace ends here")
            self._on_problem(f"nothing more is traced: {type(error).__name__}: {error}")

    def _drain(self) -> None:
        self._file.add_records(self._reader.read())
        if self._reader.lost > self._lost:
            self._file.add_lost(time.monotonic_ns(), self._reader.lost - self._lost)
            self._lost = self._reader.lost
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()

    def _add(self, kind: RecordKind, time_ns: int, task: int, seq: int, values: list[int]) -> None:
        self._serial += 1
        record = np.zeros(1, RECORD)
        record[0] = (kind, 0, 0, task, seq, time_ns, values, self._serial)
        self._file.add_records(record)
