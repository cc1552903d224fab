"""Shows in the log how far a request is that takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from aegis_ros.orchestrator import AdmissionSummary
from aegis_ros.views.progress import progress_line

__all__ = ["ProgressLog"]

_EVERY_S = 5.0


class ProgressLog:
    """Writes a line when another request or stage begins, and every few seconds while it lasts.

    What is over before it is looked at again is in the log as a decision, and not here.

    Args:
        write: writes a line.
        clock: monotonic seconds.
    """

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show nothing yet."""
        self._write = write
        self._clock = clock
        self._known: set[tuple[str, str]] = set()
        self._ended = 0
        self._shown = ""
        self._next_s = 0.0

    def show(self, requests: Sequence[AdmissionSummary]) -> None:
        """Look at the requests; to be called about twice a second."""
        present = {(each.task, str(each.request)) for each in requests}
        self._ended = self._ended + len(self._known - present) if present else 0
        self._known = present
        line, now = progress_line(requests, self._ended), self._clock()
        begun = line.split(",", 1)[0]  # without how far it is
        if not line or (begun == self._shown and now < self._next_s):
            return
        self._shown, self._next_s = begun, now + _EVERY_S
        self._write(line)
