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
        self._shown = ""
        self._next_s = 0.0

    def show(self, requests: Sequence[AdmissionSummary], ended: int = 0) -> None:
        """Look at the requests; to be called about twice a second.

        Args:
            requests: all that are there.
            ended: how many have ended since there was none.
        """
        line, now = progress_line(requests, ended), self._clock()
        begun = line.split(",", 1)[0]  # without how far it is
        if not line or (begun == self._shown and now < self._next_s):
            return
        self._shown, self._next_s = begun, now + _EVERY_S
        self._write(line)
