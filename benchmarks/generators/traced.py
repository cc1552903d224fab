"""The trace of a run, which says of each late frame whom it waited for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aegis_ros.analysis import AnalysisTask
from aegis_ros.engine import EngineInfo
from aegis_ros.engine.memory import SharedMemory
from aegis_ros.planning.generator import Bucket
from aegis_ros.trace import ring_bytes
from aegis_ros.trace.history import TracedTask

if TYPE_CHECKING:
    from aegis_ros.orchestrator.recording import TraceRecorder

__all__ = ["RunTrace"]

_RING_RECORDS = 1 << 16


class RunTrace:
    """Records what the engine does into a file for `aegis explain`, where one is asked for.

    Args:
        path: of the file; ``None`` records nothing.

    Attributes:
        memory: the ring that the engine writes to; ``None`` where nothing is recorded.
    """

    def __init__(self, path: Path | None) -> None:
        """Record nothing yet."""
        self._path = path
        self.memory = None if path is None else SharedMemory(ring_bytes(_RING_RECORDS))
        self._recorder: TraceRecorder | None = None

    def begin(self, info: EngineInfo, lane: str) -> None:
        """Begin to record."""
        if self._path is None or self.memory is None:
            return
        from aegis_ros.orchestrator.recording import TraceRecorder
        from aegis_ros.trace.mcap_file import TraceFile

        facts = {"backend": info.backend, "device": info.device, "determinism": info.determinism}
        self._recorder = TraceRecorder(
            TraceFile(self._path, lanes=[lane], facts=facts), self.memory
        )

    def task(self, task_id: int, task: AnalysisTask) -> None:
        """Note the contract of a task."""
        self._note(
            TracedTask(
                task_id,
                task.name,
                task.lane,
                task.period_ns,
                task.deadline_ns,
                segments_ns=task.segments_ns,
                criticality=str(task.criticality),
            )
        )

    def model(self, task_id: int, name: str, lane: str, buckets: tuple[Bucket, ...]) -> None:
        """Note which steps a language model has."""
        steps = tuple(each.name for each in buckets for _ in each.parts_ns)
        self._note(TracedTask(task_id, name, lane, criticality="best_effort", steps=steps))

    def close(self) -> None:
        """Write the rest, once the engine has ended."""
        if self._recorder is not None:
            self._recorder.close()
        if self.memory is not None:
            self.memory.close()

    def _note(self, task: TracedTask) -> None:
        if self._recorder is not None:
            self._recorder.task(task)
