"""What the node wants to hear from its engine; a callback that raises stops nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from aegis_ros.engine.events import EngineEvent, JobResult, JobSkip, OverrunEvent, PartialResult
from aegis_ros.engine.speech import Spoken

__all__ = ["Callbacks"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Calls the node back, from the client's own threads.

    Attributes:
        on_result: takes a result and must release it.
        on_skip: takes a job that will not run.
        on_event: takes what happened to the engine as a whole.
        on_overrun: takes what followed from a segment that exceeded its budget.
        on_restored: takes (index of the lane, nanoseconds it had shed).
        on_partial: takes the outputs that a job has completed before its end.
        on_tokens: takes what a language model said.
    """

    on_result: Callable[[JobResult], None]
    on_skip: Callable[[JobSkip], None]
    on_event: Callable[[EngineEvent], None]
    on_overrun: Callable[[OverrunEvent], None]
    on_restored: Callable[[int, int], None]
    on_partial: Callable[[PartialResult], None]
    on_tokens: Callable[[Spoken], None]

    def result(self, result: JobResult) -> None:
        """Hand a result out; released here when that fails."""
        try:
            self.on_result(result)
        except Exception:
            _log.exception("on_result raised")
            result.release()

    def partial(self, partial: PartialResult) -> None:
        """Hand out what a job has completed before its end."""
        try:
            self.on_partial(partial)
        except Exception:
            _log.exception("on_partial raised")

    def spoken(self, spoken: Spoken) -> None:
        """Hand out what a language model said."""
        try:
            self.on_tokens(spoken)
        except Exception:
            _log.exception("on_tokens raised")

    def skip(self, skip: JobSkip) -> None:
        """Report a job that will not run."""
        try:
            self.on_skip(skip)
        except Exception:
            _log.exception("on_skip raised")

    def event(self, event: EngineEvent) -> None:
        """Report what happened to the engine as a whole."""
        try:
            self.on_event(event)
        except Exception:
            _log.exception("on_event raised")

    def overrun(self, event: OverrunEvent) -> None:
        """Report a segment that exceeded its budget."""
        try:
            self.on_overrun(event)
        except Exception:
            _log.exception("on_overrun raised")

    def restored(self, lane: int, duration_ns: int) -> None:
        """Report a lane that takes all again."""
        try:
            self.on_restored(lane, duration_ns)
        except Exception:
            _log.exception("on_restored raised")
