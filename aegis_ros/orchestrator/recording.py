"""Keeps the trace of a running engine in files, on a thread of its own."""

from __future__ import annotations

import json
import logging
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aegis_ros import __version__
from aegis_ros.engine import EngineInfo
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator.admitted import Entry
from aegis_ros.rationale import Rationale, Rule
from aegis_ros.spec import OrchestratorSpec, TraceSpec
from aegis_ros.trace import RECORD, RecordKind, RingReader, ring_bytes, rule_code
from aegis_ros.trace.history import TracedTask
from aegis_ros.trace.states import RunState

if TYPE_CHECKING:
    from aegis_ros.trace.mcap_file import TraceFile

__all__ = ["TraceRecorder", "begin_trace", "trace_ring", "traced_task"]

# Seconds of a thousand jobs each, should this process stand still for so long.
_RING_RECORDS = 1 << 16
_INTERVAL_S = 0.1
_MOST_WAITING = 100_000
_RETRY_NS = 2_000_000_000  # on a disk that was full
_LONGEST_RETRY_NS = 64_000_000_000  # on one that is full again and again
_FILES = 4  # the oldest quarter goes when there is no more room


def trace_ring(spec: TraceSpec) -> SharedMemory | None:
    """Return the ring the engine writes its trace to; ``None`` where none is wanted.

    Raises:
        ConfigError: the library that writes trace files is not installed.
    """
    if not spec.file:
        return None
    if find_spec("mcap") is None:
        raise ConfigError(
            "traces need the library mcap",
            where="trace.file",
            value=spec.file,
            hint="Install it: pip install 'aegis_ros[trace]'",
        )
    return SharedMemory(ring_bytes(_RING_RECORDS))


def begin_trace(
    spec: OrchestratorSpec,
    memory: SharedMemory,
    folder: Path,
    info: EngineInfo,
    *,
    on_problem: Callable[[str], None],
    on_resumed: Callable[[int, int], None],
) -> TraceRecorder:
    """Begin the trace that a configuration asks for.

    Args:
        spec: configuration.
        memory: as returned by :func:`trace_ring`.
        folder: where traces are kept; made where it is not there.
        info: what the engine said of itself.
        on_problem: called with the reason each time recording ends.
        on_resumed: called each time it goes on (see :class:`TraceRecorder`).

    Raises:
        ConfigError: the file cannot be written.
    """
    from aegis_ros.trace.mcap_file import Rotation, TraceFile

    # What strftime made of the name is a name again: %D would bring slashes.
    name = time.strftime(spec.trace.file).replace("/", "-")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the folder cannot be made ({error})", where=str(folder)) from error
    file = TraceFile(
        folder / name,
        lanes=[lane.name for lane in spec.device.lanes],
        config=json.dumps(asdict(spec), indent=1),
        facts={
            "version": __version__,
            "host": platform.node(),
            "machine": platform.machine(),
            "backend": info.backend,
            "device": info.device,
            "determinism": info.determinism,
        },
        rotation=Rotation(max_bytes=max(1, spec.trace.max_bytes // _FILES), keep=_FILES),
    )
    return TraceRecorder(file, memory, on_problem, on_resumed)


def traced_task(entry: Entry, bound_ns: int) -> TracedTask:
    """Return the contract of an admitted task, with its proven bound."""
    spec = entry.spec
    return TracedTask(
        entry.task_id,
        spec.name,
        entry.lane,
        spec.period_ns,
        spec.deadline_ns,
        spec.output.publish_ns,
        spec.jitter_ns,
        entry.candidate.plan.budgets_ns,
        str(spec.criticality),
        bound_ns,
        entry.candidate.prepared.digest,
        entry.candidate.plan.total_ns,
    )


_log = logging.getLogger(__name__)


class TraceRecorder:
    """Drains the ring that the engine writes to, and adds what the node knows.

    All methods may be called from any thread and never wait for a disk. A file that can no longer
    be written is reported; the robot goes on without a trace, and with the next file of the trace
    as soon as the disk takes one.

    Args:
        file: where it goes; closed by :meth:`close`. A disk that refuses it is tried again.
        memory: the ring; what was written to it before is passed over.
        on_problem: called with the reason each time recording ends.
        on_resumed: called with the number of records that are missing, and for how long there was
            no trace (nanoseconds), each time recording goes on.
    """

    def __init__(
        self,
        file: TraceFile,
        memory: SharedMemory,
        on_problem: Callable[[str], None] = lambda problem: None,
        on_resumed: Callable[[int, int], None] = lambda missing, stood_ns: None,
    ) -> None:
        """Begin to record."""
        self._file = file
        self._reader = RingReader(memory.bytes.data, from_now=True)
        self._lost = 0  # as the file says
        self._on_problem = on_problem
        self._on_resumed = on_resumed
        self._tasks: deque[TracedTask] = deque()
        self._waiting: deque[Callable[[], None]] = deque(maxlen=_MOST_WAITING)
        self._serial = 0
        self._failed = False  # for good
        self._refused_ns = 0  # since when the disk refuses, 0 for not
        self._retry_ns = 0
        self._delay_ns = _RETRY_NS
        self._resumed_ns = 0
        self._gone: deque[int] = deque()
        self._missing = 0
        self._ended = threading.Event()
        if file.refused is not None:
            self._refuse(file.refused)
        self._thread = threading.Thread(target=self._run, name="trace", daemon=True)
        self._thread.start()

    def task(self, task: TracedTask) -> None:
        """Note the contract of a task."""
        self._tasks.append(task)

    def gone(self, task_id: int) -> None:
        """Note that a task is gone, and all of its jobs have ended."""
        self._gone.append(task_id)

    def rationale(self, rationale: Rationale) -> None:
        """Note a decision."""
        self._waiting.append(lambda: self._file.add_rationale(rationale))

    def state(self, state: RunState) -> None:
        """Note what arena, engine and device are like; to be called about once a second."""
        self._waiting.append(lambda: self._file.add_state(state.time_ns, state.plain()))

    def frame(self, jobs: Iterable[tuple[int, int]], stamped_ns: int, ready_ns: int) -> None:
        """Note that the frame of the jobs (task, number) was ready; monotonic nanoseconds."""
        for task_id, seq in jobs:
            self._waiting.append(
                lambda task_id=task_id, seq=seq: self._add(  # type: ignore[misc]
                    RecordKind.FRAME, ready_ns, task_id, seq, values=[stamped_ns, 0, 0, 0]
                )
            )

    def gated(self, task_id: int, seq: int, rule: Rule, now_ns: int) -> None:
        """Note that a frame became no job, and by which rule; ``seq`` is that of the next job."""
        code = rule_code(rule)
        self._waiting.append(
            lambda: self._add(RecordKind.GATED, now_ns, task_id, seq, values=[code, 0, 0, 0])
        )

    def published(
        self,
        task_id: int,
        seq: int,
        decoded_ns: int,
        published_ns: int,
        *,
        handed_ns: int = 0,
        due_ns: int = 0,
    ) -> None:
        """Note that a result left for its readers; monotonic nanoseconds.

        Args:
            task_id: number of the task.
            seq: number of the job.
            decoded_ns: when it was decoded.
            published_ns: when it was published.
            handed_ns: when the engine's client handed it out, 0 for not known.
            due_ns: until when it was kept for its constant latency, 0 for not at all.
        """
        values = [handed_ns, decoded_ns, due_ns, 0]
        self._waiting.append(
            lambda: self._add(RecordKind.PUBLISHED, published_ns, task_id, seq, values=values)
        )

    def lost(self, jobs: Iterable[tuple[int, int]]) -> None:
        """Note the jobs (task, number) that went with an engine."""
        now = time.monotonic_ns()
        for task_id, seq in tuple(jobs):
            self._waiting.append(
                lambda task_id=task_id, seq=seq: self._add(  # type: ignore[misc]
                    RecordKind.LOST, now, task_id, seq, values=[0, 0, 0, 0]
                )
            )

    def close(self) -> None:
        """Write what is left and close the file; to be called after the engine has ended."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_INTERVAL_S):
            self._attempt(self._drain)
        self._attempt(self._drain)
        self._attempt(self._file.close)

    def _attempt(self, step: Callable[[], None]) -> None:
        if self._failed:
            self._tasks.clear()
            self._gone.clear()
            self._waiting.clear()
            return
        try:
            if self._refused_ns and not self._resumed():
                return
            step()
        except (OSError, ConfigError) as error:
            self._refuse(error)
        except Exception as error:  # a trace must never be what stops a robot
            self._failed = True
            _log.exception("the trace ends here")
            self._on_problem(f"{type(error).__name__}: {error}")

    def _refuse(self, error: OSError | ConfigError) -> None:
        """Note and report that the disk takes nothing now."""
        self._refused_ns = time.monotonic_ns()
        soon = self._refused_ns - self._resumed_ns < _LONGEST_RETRY_NS
        again = soon and self._resumed_ns > 0
        self._delay_ns = min(2 * self._delay_ns, _LONGEST_RETRY_NS) if again else _RETRY_NS
        self._retry_ns = self._refused_ns + self._delay_ns
        self._on_problem(f"{type(error).__name__}: {error}")

    def _resumed(self) -> bool:
        """Return whether the disk takes a trace again; pass over what comes until then."""
        while self._tasks:
            self._file.remember(self._tasks.popleft())
        self._forget_gone()
        self._missing += len(self._reader.read()) + len(self._waiting)
        self._waiting.clear()
        now = time.monotonic_ns()
        if now < self._retry_ns:
            return False
        try:
            unwritten = self._file.resume()
        except (OSError, ConfigError):
            self._retry_ns = now + self._delay_ns
            return False
        missing = self._missing + unwritten + self._reader.lost - self._lost
        stood_ns, self._refused_ns, self._resumed_ns = now - self._refused_ns, 0, now
        self._missing, self._lost = 0, self._reader.lost
        self._file.add_lost(now, missing)
        self._on_resumed(missing, stood_ns)
        return True

    def _drain(self) -> None:
        while self._tasks:
            self._file.add_task(self._tasks.popleft())
        self._file.add_records(self._reader.read())
        if self._reader.lost > self._lost:
            self._file.add_lost(time.monotonic_ns(), self._reader.lost - self._lost)
            self._lost = self._reader.lost
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
        self._forget_gone()

    def _forget_gone(self) -> None:
        while self._gone:
            self._file.forget(self._gone.popleft())

    def _add(
        self, kind: RecordKind, time_ns: int, task: int, seq: int, *, values: list[int]
    ) -> None:
        self._serial += 1
        record = np.zeros(1, RECORD)
        record[0] = (kind, 0, 0, task, seq, time_ns, values, self._serial)
        self._file.add_records(record)
