"""The trace of one run, from the start of the engine to its end, where one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aegis_ros.engine import EngineInfo
from aegis_ros.errors import ConfigError
from aegis_ros.orchestrator.recording import TraceRecorder, begin_trace, trace_ring
from aegis_ros.rationale import Reason
from aegis_ros.rationale.requests import NotTraced, TracedAgain
from aegis_ros.spec import OrchestratorSpec

__all__ = ["RunTrace"]


class RunTrace:
    """Begins and ends the recording of a run.

    Args:
        spec: says whether and where to.
        folder: where traces are kept.

    Attributes:
        memory: the ring the engine writes to; ``None`` where no trace is asked for.
        recorder: what drains it; ``None`` while nothing is recorded.

    Raises:
        ConfigError: the library that writes trace files is not installed.
    """

    def __init__(self, spec: OrchestratorSpec, folder: Path) -> None:
        """Record nothing yet."""
        self._spec = spec
        self._folder = folder
        self.memory = trace_ring(spec.trace)
        self.recorder: TraceRecorder | None = None

    def begin(self, info: EngineInfo, report: Callable[[Reason], object]) -> None:
        """Begin to record, if that is asked for.

        Args:
            info: what the engine said of itself.
            report: called with the reason where nothing, or nothing more, can be recorded.
        """
        if self.memory is None:
            return

        def ended(problem: str) -> None:
            report(NotTraced(problem, begun=True))

        def resumed(missing: int, stood_ns: int) -> None:
            report(TracedAgain(missing, stood_ns))

        try:
            self.recorder = begin_trace(
                self._spec,
                self.memory,
                self._folder,
                info,
                on_problem=ended,
                on_resumed=resumed,
            )
        except ConfigError as error:
            report(NotTraced(str(error), begun=False))

    def close(self) -> None:
        """End the recording, if there is one."""
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            recorder.close()
