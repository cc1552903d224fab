"""Publishes decisions on a thread of its own, so that frames and results do not wait for a log."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from aegis_ros.rationale import Rationale

__all__ = ["DecisionPublisher"]

_log = logging.getLogger(__name__)
_MOST = 4096  # decisions; minutes of them
_END_S = 2.0


class DecisionPublisher:
    """Publishes decisions in their order; whoever queues one never waits.

    A mode change of a lane brings as many as ten at once, and each costs a message, a line in the
    log and a write to disk: half a millisecond.

    Args:
        publish: called with each decision; an exception is logged.
        on_lost: called with the number of decisions that the queue was too full for.
    """

    def __init__(
        self, publish: Callable[[Rationale], None], on_lost: Callable[[int], None]
    ) -> None:
        """Start the thread."""
        self._publish = publish
        self._on_lost = on_lost
        self._lost = 0
        self._queue: queue.Queue[Rationale | None] = queue.Queue(_MOST)
        self._thread = threading.Thread(target=self._run, name="decisions", daemon=True)
        self._thread.start()

    def put(self, rationale: Rationale) -> None:
        """Queue a decision; one too many is counted, and reported as lost."""
        try:
            self._queue.put_nowait(rationale)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Publish what is left, for some seconds at most, and end the thread."""
        try:
            self._queue.put(None, timeout=_END_S)
            self._thread.join(_END_S)
        except queue.Full:
            _log.warning("%d decisions were not published", self._queue.qsize() + self._lost)

    def _run(self) -> None:
        while (rationale := self._queue.get()) is not None:
            try:
                self._publish(rationale)
                if self._lost:
                    lost, self._lost = self._lost, 0
                    self._on_lost(lost)
            except Exception:  # one decision must not silence all others
                _log.exception("a decision could not be published")
